"""The command line of refine_pseudo.py on masks in PASTIS' format."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmexact.apis.data import open_data
from mmexact.masks import PseudoMaskWriter
from tests.in_process import run_in_process
from tests.toy_classifier import WINDOWS, toy_config, write_tree

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'refine_pseudo.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Data, a config, and masks that are true but for one window."""
    folder = tmp_path_factory.mktemp('refine')
    cfg = toy_config(write_tree(folder / 'PASTIS'), folder / 'run')
    cfg.dump(folder / 'toy.py')
    dataset = open_data(cfg, 'test')
    infos = [dataset.get_data_info(number) for number in range(len(dataset))]
    writer = PseudoMaskWriter(folder / 'masks', dict(made='by hand'), infos, dataset.metainfo)
    for info in infos:
        mask = info['reader'].read_mask(info['window'])
        writer.write(info['sample_id'], mask, np.ones(mask.shape))
    writer.finish()
    return folder


def refine(folder: Path, *arguments: object) -> None:
    command = [TOOL, folder / 'toy.py', *arguments]
    run_in_process([str(argument) for argument in command])


def test_refined_masks_lie_in_the_work_folder_and_are_scored(folder, tmp_path, capsys):
    refine(folder, folder / 'masks', '--work-dir', tmp_path, '--rounds', '2')
    out = tmp_path / 'refined_masks'
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['complete']
    assert manifest['inputs']['rounds'] == 2
    assert sorted(path.stem for path in out.glob('*.png')) == sorted(WINDOWS)
    printed = capsys.readouterr().out
    assert f'pseudo/mIoU: {manifest["scores"]["pseudo/mIoU"]:.4g}' in printed
    assert f'12 refined masks in {out}' in printed
    with Image.open(out / f'{WINDOWS[0]}.png') as image:
        assert np.asarray(image).shape == (4, 4)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'nowhere: pseudo masks of 12 of 12 windows are missing'),
        (['masks', '--rounds', '0'], 'argument --rounds: 0; expected 1 or more'),
        (['masks', '--launcher', 'pytorch'], 'one process refines, on all cores'),
        (['masks', '--out', 'masks'], 'masks holds the masks to refine: choose another folder'),
    ],
)
def test_mistakes_are_one_line(folder, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with pytest.raises(Exception, match='status 2'):
        refine(folder, *arguments)
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert message in error
