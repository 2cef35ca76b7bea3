import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from mmexact.engine import PseudoLabelHook
from mmexact.masks import weights_digest
from tests.toy_classifier import WINDOWS, toy_config, write_tree


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp('pastis'))


def runner(tree: Path, work_dir: Path, **settings) -> Runner:
    return Runner.from_cfg(toy_config(tree, work_dir, **settings))


def masks_in(folder: Path) -> dict[str, list]:
    masks = {}
    for path in sorted(folder.glob('*.png')):
        with Image.open(path) as image:
            masks[path.stem] = np.asarray(image).tolist()
    return masks


def predicted(run: Runner) -> dict[str, list]:
    """What the runner's model says of each window, one by one."""
    model = run.model.eval()
    masks = {}
    for sample in run.test_dataloader.dataset:
        with torch.no_grad():
            (result,) = model.test_step(pseudo_collate([sample]))
        masks[result.sample_id] = result.pred_sem_seg.data[0].tolist()
    return masks


def test_a_test_loop_leaves_the_masks_it_predicts(tree, tmp_path):
    out = tmp_path / 'masks'
    hook = dict(type='PseudoLabelHook', out_dir=str(out))
    run = runner(tree, tmp_path / 'run', custom_hooks=[hook])
    run.test()
    masks = masks_in(out)
    assert sorted(masks) == sorted(masks_in(out / 'confidence')) == sorted(WINDOWS)
    assert masks == predicted(run)
    assert len({value for mask in masks.values() for row in mask for value in row}) > 1
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['complete'] is True
    assert manifest['windows'] == 12
    assert sum(manifest['pixels'].values()) == 12 * 16
    assert list(manifest['pixels'])[-2:] == ['Corn', 'ignored']
    inputs = manifest['inputs']
    assert inputs['checkpoint'] == weights_digest(run.model.state_dict())
    assert inputs['background_score'] == 0.25
    assert inputs['background_score_chosen_by'] == 'fixed, no pixel label was looked at'
    assert inputs['cam'] == 'clue'


def test_the_end_of_training_leaves_the_masks_of_the_trained_model(tree, tmp_path):
    out = tmp_path / 'masks'
    loader = toy_config(tree, tmp_path).test_dataloader
    refined = tmp_path / 'refined'
    hook = dict(
        type='PseudoLabelHook', out_dir=str(out), dataloader=loader, refined_dir=str(refined)
    )
    run = runner(tree, tmp_path / 'run', custom_hooks=[hook])
    untrained = weights_digest(run.model.state_dict())
    run.train()
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['complete'] is True
    assert manifest['inputs']['checkpoint'] == weights_digest(run.model.state_dict()) != untrained
    assert masks_in(out) == predicted(run)
    assert sorted(masks_in(refined)) == sorted(masks_in(out))
    assert json.loads((refined / 'manifest.json').read_text())['refinement']


def test_training_without_a_dataloader_writes_nothing(tree, tmp_path):
    hook = dict(type='PseudoLabelHook', out_dir=str(tmp_path / 'masks'))
    runner(tree, tmp_path / 'run', custom_hooks=[hook]).train()
    assert not (tmp_path / 'masks').exists()


def map_windows(tree: Path, work_dir: Path, out: Path, overwrite: bool = False, **settings):
    run = runner(tree, work_dir, **settings)
    evaluator = run.build_evaluator(run.cfg.test_evaluator)
    hook = PseudoLabelHook(str(out), overwrite=overwrite)
    return hook.map_windows(run, run.cfg.test_dataloader, evaluator)


@pytest.fixture(scope='module')
def made(tree, tmp_path_factory) -> tuple[Path, dict]:
    """A complete folder of masks, and their scores."""
    folder = tmp_path_factory.mktemp('made')
    return folder / 'masks', map_windows(tree, folder / 'run', folder / 'masks')


@pytest.fixture
def out(made, tmp_path) -> Path:
    """A copy of the folder."""
    return shutil.copytree(made[0], tmp_path / 'masks')


def test_an_interrupted_run_goes_on_with_what_is_missing(tree, made, out, tmp_path):
    whole, manifest = masks_in(out), json.loads((out / 'manifest.json').read_text())
    assert sorted(whole) == sorted(WINDOWS)
    assert manifest['scores']['pseudo/OA'] == made[1]['pseudo/OA']
    assert len(manifest['scores']['by_score']) == 60
    by_class = manifest['scores']['by_class']
    assert list(by_class) == ['Background', 'Meadow', 'Soft winter wheat', 'Corn']
    assert np.mean(list(by_class.values())) == pytest.approx(made[1]['pseudo/mIoU'])

    lost = ['7_5', '8_0']
    for name in lost:
        (out / f'{name}.png').unlink()
    (out / '8_0.png.99.part').write_bytes(b'half a mask')
    before = {path.name: path.stat().st_mtime_ns for path in out.glob('*.png')}
    assert map_windows(tree, tmp_path / 'run', out) == {}  # a part of the windows has no score
    after = {path.name: path.stat().st_mtime_ns for path in out.glob('*.png')}
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {f'{name}.png' for name in lost}
    assert masks_in(out) == whole
    assert json.loads((out / 'manifest.json').read_text()) == manifest
    assert not list(out.glob('*.part'))


@pytest.mark.parametrize(
    ('key', 'value', 'named'),
    [
        ('model.test_cfg.background_score', 0.5, r'background_score: 0\.25 there, 0\.5 now'),
        ('model.test_cfg.cam', 'raw', r"cam: 'clue' there, 'raw' now"),
        ('test_dataloader.dataset.folds', (2,), r'data: '),
        ('randomness.seed', 1, r'checkpoint: '),
    ],
)
def test_masks_of_other_inputs_are_kept_unless_told(tree, out, tmp_path, key, value, named):
    before = masks_in(out)
    with pytest.raises(FileExistsError, match=named):
        map_windows(tree, tmp_path / 'run', out, **{key: value})
    assert masks_in(out) == before
    map_windows(tree, tmp_path / 'again', out, overwrite=True, **{key: value})
    expected = WINDOWS[6:] if 'folds' in key else WINDOWS
    assert sorted(masks_in(out)) == sorted(expected)


def test_other_models_have_no_pseudo_masks(tree, tmp_path):
    run = runner(tree, tmp_path / 'run')
    run.model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r'come from an ExactClassifier .* describes a Linear'):
        PseudoLabelHook(str(tmp_path / 'masks')).before_test(run)
    assert not (tmp_path / 'masks').exists()
