"""explain.py on a tiny classifier: which dates and places, and the numbers behind the pictures."""

import csv
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image

from mmexact.apis.data import open_data
from mmexact.apis.explanation import PIVOTAL, explain, load_classifier
from tests.data import DAYS
from tests.in_process import run_in_process
from tests.toy_classifier import toy_config, write_tree

TOOL = str(Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'explain.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, a config, and a checkpoint of weights that tell dates apart."""
    folder = tmp_path_factory.mktemp('explain')
    cfg = toy_config(write_tree(folder / 'PASTIS'), folder / 'run')
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(model.state_dict(), folder / 'cls.pth')
    cfg.dump(folder / 'toy.py')
    return folder


def test_pictures_and_numbers_of_a_window(folder, tmp_path):
    arguments = [str(folder / 'toy.py'), str(folder / 'cls.pth'), '--out', str(tmp_path)]
    run_in_process([TOOL, *arguments, '--window', '7_3', '8_1', '--bands', '1', '3'])
    names = [
        f'{window}{end}'
        for window in ('7_3', '8_1')
        for end in ('.csv', '_maps.png', '_season.png')
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        if name.endswith('png'):
            with Image.open(tmp_path / name) as picture:
                assert min(picture.size) > 200
    with open(tmp_path / '7_3.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    crops = ['Meadow', 'Soft winter wheat', 'Corn']
    assert [row['class'] for row in rows[::10]] == crops  # five dates of two curves each
    assert [int(row['day_of_year']) for row in rows[:10:2]] == list(DAYS)
    assert {row['curve'] for row in rows} == {'band 1', 'band 3'}
    assert sum(float(row['weight']) for row in rows[:10:2]) == pytest.approx(1, abs=1e-5)
    assert sum(int(row['pivotal']) for row in rows[:10:2]) == PIVOTAL


def test_quartiles_are_those_of_the_pixels_of_a_class(folder):
    cfg = toy_config(folder / 'PASTIS', folder / 'run')
    dataset = open_data(cfg, 'test')
    model = load_classifier(cfg, str(folder / 'cls.pth'), dataset)
    found = explain(model, dataset, 3, dict(band=[1]))
    assert found.by_truth
    assert found.days.tolist() == list(DAYS)
    # Window 3 of patch 7: rows 4 to 7, columns 0 to 3 of stripes three pixels wide.
    numbers = np.arange(130).reshape(10, 13)[4:8, :4]
    for label, clue in enumerate(found.clues, 1):
        inside = numbers[numbers // 3 % 4 == label]
        assert (clue.index, clue.pixels) == (label, len(inside))
        for date in range(5):
            values = inside + 130 * (3 * date + 1) + 7
            expected = np.percentile(values, (25, 50, 75))
            np.testing.assert_allclose(clue.quartiles[0, :, date], expected)
    sample = dataset[3]
    batch = model.data_preprocessor(dict(inputs=[sample['inputs']]))
    with torch.no_grad():
        attention = model.extract_feat(batch['inputs']).temporal_attention[0]
    np.testing.assert_allclose([clue.attention for clue in found.clues], attention, rtol=1e-6)
    for clue in found.clues:
        assert clue.attention[clue.pivotal].min() >= np.sort(clue.attention)[-PIVOTAL]


def test_without_true_masks_the_pseudo_mask_says_which_pixels(folder):
    cfg = toy_config(folder / 'PASTIS', folder / 'run')
    cfg.test_dataloader.dataset.update(with_masks=False)
    steps = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [steps[0], steps[2]]
    dataset = open_data(cfg, 'test')
    model = load_classifier(cfg, str(folder / 'cls.pth'), dataset)
    found = explain(model, dataset, 0, dict(band=[0]))
    assert not found.by_truth
    mask = found.sample.pred_sem_seg.data.numpy()
    present = np.flatnonzero(found.sample.pred_score.numpy() >= 0.5) + 1
    assert [clue.index for clue in found.clues] == present.tolist()
    assert [clue.pixels for clue in found.clues] == [(mask == index).sum() for index in present]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--window', '9_9'], "no window '9_9' in test_dataloader; there are 12"),
        (['--window', '7_3'], 'no red and near infrared among the bands'),
        (['--window', '7_3', '--bands', '4'], '--bands 4: expected 1 to 3'),
        (['--window', '7_3', '--cfg-options', 'model.type=EncoderDecoder'], 'ExactClassifier'),
    ],
)
def test_mistakes_end_in_one_line(folder, tmp_path, capsys, arguments, message):
    files = [str(folder / 'toy.py'), str(folder / 'cls.pth'), '--out', str(tmp_path / 'out')]
    with pytest.raises(CalledProcessError):
        run_in_process([TOOL, *files, *arguments])
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
