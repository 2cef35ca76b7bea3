"""gen_pseudo.py on a tiny classifier, and the segmentor's dataset that reads its masks."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mmexact.pseudo_labels import BACKGROUND_SCORES
from tests.toy_classifier import WINDOWS, toy_config, write_tree

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'gen_pseudo.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Data, a config and two checkpoints, after one and two steps of training."""
    folder = tmp_path_factory.mktemp('gen_pseudo')
    cfg = toy_config(write_tree(folder / 'PASTIS'), folder / 'run')
    cfg.default_hooks.checkpoint.interval = 1
    Runner.from_cfg(cfg).train()
    cfg.experiment_name = None
    cfg.dump(folder / 'toy.py')
    return folder


@pytest.fixture
def tool(folder, monkeypatch, tmp_path):
    """Run the tool in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv('LOCAL_RANK', '0')
    count = 0

    def call(*args: object, options: tuple[str, ...] = ()) -> None:
        nonlocal count
        count += 1
        name = f'experiment_name={tmp_path.name}_{count}'
        tail = ['--work-dir', tmp_path / 'run', '--cfg-options', name, *options]
        monkeypatch.setattr('sys.argv', ['gen_pseudo.py', *map(str, [*args, *tail])])
        runpy.run_path(str(TOOL), run_name='__main__')

    return call


def mask(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / f'{name}.png') as image:
        return np.asarray(image)


def manifest(folder: Path) -> dict:
    return json.loads((folder / 'manifest.json').read_text())


def test_masks_of_all_windows_and_what_they_are_worth(tool, tmp_path):
    tool('toy.py', 'run/iter_2.pth')
    out = tmp_path / 'run' / 'pseudo_masks'  # the default
    assert sorted(path.stem for path in out.glob('*.png')) == sorted(WINDOWS)
    for name in WINDOWS:
        assert mask(out, name).shape == (4, 4)
        assert mask(out, name).max() <= 3
    found = manifest(out)
    assert found['complete'] is True
    assert found['windows'] == 12
    assert found['inputs']['background_score_chosen_by'] == 'fixed, no pixel label was looked at'
    assert found['scores']['pseudo/background_score'] == 0.25
    assert found['scores']['pseudo/hindsight_OA'] >= found['scores']['pseudo/OA']
    pixels = [mask(out, name) for name in WINDOWS]
    counts = np.bincount(np.ravel(pixels), minlength=4)
    assert list(found['pixels'].values()) == [*counts, 0]


def test_another_background_score_and_cam(tool, tmp_path):
    options = ['--background-score', 1, '--cam', 'raw', '--out', tmp_path / 'out']
    tool('toy.py', 'run/iter_2.pth', *options)
    found = manifest(tmp_path / 'out')
    assert found['inputs']['background_score'] == 1
    assert found['inputs']['cam'] == 'raw'
    # No crop exceeds 1: the masks are background, and are scored as such.
    assert found['pixels']['Background'] == 12 * 16
    stripes = np.arange(130).reshape(10, 13) // 3 % 4
    windows = stripes[:8, :12]
    hits = (windows == 0).sum() + (windows[2:] == 0).sum()  # two rows of patch 8 are void
    assert found['scores']['pseudo/OA'] == pytest.approx(100 * hits / (96 + 72))


def test_a_second_run_resumes_and_other_inputs_need_overwrite(tool, tmp_path, capsys):
    out = tmp_path / 'out'
    tool('toy.py', 'run/iter_2.pth', '--out', out)
    before = manifest(out)
    (out / '8_4.png').unlink()
    times = {path.name: path.stat().st_mtime_ns for path in out.glob('*.png')}
    tool('toy.py', 'run/iter_2.pth', '--out', out)
    assert (out / '8_4.png').exists()
    assert all((out / name).stat().st_mtime_ns == time for name, time in times.items())
    assert manifest(out) == before

    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        tool('toy.py', 'run/iter_1.pth', '--out', out)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert line.startswith(f'gen_pseudo.py: error: {out} holds pseudo masks of other inputs')
    assert 'checkpoint: ' in line
    assert '--overwrite' in line
    assert manifest(out) == before

    tool('toy.py', 'run/iter_1.pth', '--out', out, '--overwrite')
    assert manifest(out)['inputs']['checkpoint'] != before['inputs']['checkpoint']


def test_the_paper_s_protocol_chooses_by_pixel_labels(tool, tmp_path):
    curves = {}
    for step in (1, 2):
        tool('toy.py', f'run/iter_{step}.pth', '--out', tmp_path / f'{step}')
        curves[step] = manifest(tmp_path / f'{step}')
    out = tmp_path / 'chosen'
    options = ['--out', out, '--select-with-pixel-labels', 'run/iter_2.pth']
    tool('toy.py', 'run/iter_1.pth', *options)
    best = max((1, 2), key=lambda step: curves[step]['scores']['pseudo/hindsight_OA'])
    expected, found = curves[best], manifest(out)
    assert found['inputs']['checkpoint'] == expected['inputs']['checkpoint']
    score = expected['scores']['pseudo/hindsight_score']
    assert score in BACKGROUND_SCORES
    assert found['inputs']['background_score'] == score
    assert 'pixel labels' in found['inputs']['background_score_chosen_by']
    # The scores in the manifest are those of the masks that were written.
    assert found['scores']['pseudo/background_score'] == score
    assert found['scores']['pseudo/OA'] == expected['scores']['pseudo/hindsight_OA']


@pytest.mark.parametrize(
    ('args', 'options', 'message'),
    [
        (['--background-score', '2'], (), 'argument --background-score: 2.0 is not in 0..1'),
        (['--cam', 'grad'], (), "argument --cam: invalid choice: 'grad'"),
        (
            ['--select-with-pixel-labels', 'run/iter_9.pth'],
            (),
            'argument --select-with-pixel-labels: run/iter_9.pth: no such file',
        ),
        (
            ['--select-with-pixel-labels'],
            ('test_evaluator.type=mmpretrain.AveragePrecision',),
            'test_evaluator of the config needs a PseudoLabelMetric',
        ),
    ],
)
def test_wrong_arguments_are_one_line(tool, capsys, args, options, message):
    with pytest.raises(SystemExit) as stop:
        tool('toy.py', 'run/iter_2.pth', *args, options=options)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count('\n') == 1
    assert message in printed


def test_a_checkpoint_of_another_model_leaves_nothing_behind(tool, tmp_path, capsys):
    torch.save(dict(state_dict=dict(weight=torch.ones(1))), tmp_path / 'other.pth')
    with pytest.raises(SystemExit):
        tool('toy.py', tmp_path / 'other.pth', '--out', tmp_path / 'out')
    assert 'is a checkpoint of another model than ExactClassifier' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_the_masks_must_cover_the_windows_of_stage_3(tool, folder, tmp_path):
    out = tmp_path / 'out'
    one_fold = ('test_dataloader.dataset.folds=[1]',)
    tool('toy.py', 'run/iter_2.pth', '--out', out, options=one_fold)
    data = toy_config(folder / 'PASTIS', tmp_path).train_dataloader.dataset
    data.pseudo_label_dir = str(out)
    (sample, *_) = DATASETS.build(data)
    truth = sample['data_samples'].gt_sem_seg.data[0]
    assert truth.tolist() == mask(out, sample['data_samples'].sample_id).tolist()

    data.folds = (1, 2)
    with pytest.raises(FileNotFoundError) as refusal:
        DATASETS.build(data)
    message = str(refusal.value)
    assert 'pseudo masks of 6 of 12 windows are missing, first 8_0.png' in message
    assert f'tools/refine_pseudo.py, the last one with --out {out}' in message
