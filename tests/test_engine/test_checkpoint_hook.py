"""Checkpoints that training goes on from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmexact.engine.checkpoint import read_checkpoint
from mmexact.engine.checkpoint_hook import WholeFileBackend
from tests.toy_classifier import toy_config, write_tree

EIGHT = dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=8))
LOAD = dict(type='LoadSITS', num_dates=2, date_choice='random')
FLIP = dict(type='RandomFlip', prob=0.5)
PACK = dict(type='PackSITSInputs')


class Killed(Exception):
    """Stands for the end of the process."""


class Killer(Hook):
    """Ends a training after an iteration, in the middle of things."""

    priority = 'VERY_LOW'

    def __init__(self, last: int) -> None:
        self.last = last

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.last:
            raise Killed


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp('pastis'))


def config(tree: Path, work_dir: Path, name: str, **settings):
    """Eight iterations with augmentation, dropout, and validation at every second one."""
    cfg = toy_config(tree, work_dir, **EIGHT, **settings)
    cfg.experiment_name = f'{work_dir.parent.name}_{work_dir.name}_{name}'
    cfg.default_hooks.checkpoint = dict(
        type='ResumableCheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=2
    )
    cfg.train_dataloader.sampler = dict(type='SeededSampler')
    cfg.train_dataloader.dataset.pipeline = [LOAD, FLIP, PACK]
    cfg.model.spatial_clue_head.start_iter = 5
    cfg.model.backbone.drop_rate = 0.3
    cfg.val_dataloader = cfg.test_dataloader
    cfg.val_evaluator = cfg.test_evaluator
    cfg.val_cfg = dict(type='ValLoop')
    cfg.train_cfg.val_interval = 2
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=8)]
    return cfg


def train(cfg, kill_after: int | None = None, resume: bool = False) -> Runner:
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    if kill_after is None:
        runner.train()
    else:
        runner.register_hook(Killer(kill_after), 'VERY_LOW')
        with pytest.raises(Killed):
            runner.train()
    return runner


def scalars(work_dir: Path) -> dict[int, dict[str, float]]:
    """What the runs in a folder have logged by step, without times; later ones last."""
    found: dict[int, dict[str, float]] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for entry in map(json.loads, path.read_text().splitlines()):
            kept = {key: value for key, value in entry.items() if 'time' not in key}
            found.setdefault(entry['step'], {}).update(kept)
    return found


def assert_same_training(one: Path, other: Path) -> None:
    mine, theirs = (read_checkpoint(folder / 'iter_8.pth') for folder in (one, other))
    for name, value in mine['state_dict'].items():
        assert torch.equal(value, theirs['state_dict'][name]), name
    for key, state in mine['optimizer']['state'].items():
        assert all(torch.equal(state[k], theirs['optimizer']['state'][key][k]) for k in state)
    assert mine['param_schedulers'] == theirs['param_schedulers']
    assert scalars(one) == scalars(other)


@pytest.mark.parametrize('workers', [0, 2])
def test_a_training_that_was_killed_twice_ends_as_one_that_was_not(tree, tmp_path, workers):
    loader = dict(train_dataloader=dict(num_workers=workers, persistent_workers=workers > 0))
    train(config(tree, tmp_path / 'whole', 'a', **loader))
    # Before and after the prototypes start; in between and at a checkpoint, before validation.
    train(config(tree, tmp_path / 'killed', 'a', **loader), kill_after=3)
    np.random.seed(99)  # whatever a new process has
    torch.manual_seed(99)
    train(config(tree, tmp_path / 'killed', 'b', **loader), kill_after=6, resume=True)
    shutil.move(tmp_path / 'killed', tmp_path / 'moved')
    assert sorted(path.name for path in (tmp_path / 'moved').glob('*.pth')) == [
        'iter_4.pth',
        'iter_6.pth',
    ]
    (tmp_path / 'moved/last_checkpoint').write_text('/gone/iter_4.pth')
    train(config(tree, tmp_path / 'moved', 'c', **loader), resume=True)
    assert_same_training(tmp_path / 'whole', tmp_path / 'moved')


def test_a_segmentor_that_was_killed_ends_as_one_that_was_not(tree, tmp_path):
    def segmentor(folder: str, name: str):
        cfg = config(tree, tmp_path / folder, name)
        head = dict(type='TSViTHead', in_channels=6, num_classes=4, patch_size=2)
        head |= dict(loss_decode=dict(type='CrossEntropyLoss'))
        backbone = dict(cfg.model.backbone, num_classes=4, global_token=False)
        cfg.model = dict(
            type='EncoderDecoder',
            data_preprocessor=cfg.model.data_preprocessor,
            backbone=backbone,
            decode_head=head,
            test_cfg=dict(mode='whole'),
        )
        masks = dict(type='LoadSITSAnnotations')
        cfg.train_dataloader.dataset.pipeline = [LOAD, masks, FLIP, PACK]
        cfg.val_evaluator = dict(type='IoUMetric')
        return cfg

    train(segmentor('whole', 'a'))
    train(segmentor('killed', 'a'), kill_after=5)
    train(segmentor('killed', 'b'), resume=True)
    assert_same_training(tmp_path / 'whole', tmp_path / 'killed')


def test_batches_of_similar_length_go_on_where_they_were(tree, tmp_path):
    def by_length(folder: str, name: str):
        cfg = config(tree, tmp_path / folder, name)
        cfg.train_dataloader.batch_size = 2
        cfg.train_dataloader.batch_sampler = dict(
            type='SeriesLengthBatchSampler', pool=3, drop_last=True
        )
        return cfg

    train(by_length('whole', 'a'))
    train(by_length('killed', 'a'), kill_after=5)
    train(by_length('killed', 'b'), resume=True)
    assert_same_training(tmp_path / 'whole', tmp_path / 'killed')


@pytest.fixture(scope='module')
def finished(tree, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('finished')
    train(config(tree, folder, 'first'))
    return folder


@pytest.fixture
def messages(monkeypatch) -> list[str]:
    """What the hook has printed."""
    found: list[str] = []
    monkeypatch.setattr(
        'mmexact.engine.checkpoint_hook.print_log', lambda text, *_: found.append(text)
    )
    return found


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tree, tmp_path, finished, messages
):
    folder = tmp_path / 'run'
    shutil.copytree(finished, folder)
    weights = max(read_checkpoint(folder / 'iter_8.pth')['state_dict'].values(), key=torch.numel)
    content = bytearray((folder / 'iter_8.pth').read_bytes())
    content[content.index(weights.numpy().tobytes())] ^= 1  # elsewhere there is padding too
    (folder / 'iter_8.pth').write_bytes(content)
    (folder / 'iter_10.pth').touch()
    run = train(config(tree, folder, 'x'), resume=True)
    assert 'iter_10.pth: cannot be read' in messages[0]
    assert 'iter_8.pth: is damaged' in messages[1]
    assert run.iter == 8
    assert_same_training(finished, folder)

    for path in folder.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r'none of the checkpoints is whole \(iter_10.pth, iter_8'):
        train(config(tree, folder, 'y'), resume=True)


def test_without_a_checkpoint_training_starts_anew(tree, tmp_path, finished):
    folder = tmp_path / 'run'
    (folder).mkdir()
    (folder / 'last_checkpoint').write_text('/gone/iter_4.pth')
    train(config(tree, folder, 'x'), resume=True)
    assert_same_training(finished, folder)


def test_another_model_or_other_settings_are_noticed(tree, tmp_path, finished, messages):
    folder = tmp_path / 'run'
    shutil.copytree(finished, folder)
    cfg = config(tree, folder, 'x')
    cfg.model.backbone.temporal_depth = 2
    with pytest.raises(ValueError, match=r'iter_8.pth is a checkpoint of another model'):
        train(cfg, resume=True)
    cfg = config(tree, folder, 'y')
    cfg.optim_wrapper.optimizer.lr = 0.5
    train(cfg, resume=True)
    assert 'began with other settings of optim_wrapper;' in messages[0]


def test_a_failed_write_leaves_the_checkpoints_that_are_there(tree, tmp_path, monkeypatch):
    folder = tmp_path / 'run'
    put = WholeFileBackend.put

    def full_disk(self, obj, filepath):
        if 'iter_6' in str(filepath):
            put(self, obj[:100], Path(filepath).with_name('iter_6.pth.0123.part'))
            raise OSError(28, 'No space left on device')
        put(self, obj, filepath)

    monkeypatch.setattr(WholeFileBackend, 'put', full_disk)
    cfg = config(tree, folder, 'x')
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    with pytest.raises(OSError, match='No space left'):
        train(cfg)
    assert read_checkpoint(folder / 'iter_4.pth')['meta']['iter'] == 4
    monkeypatch.undo()
    cfg = config(tree, folder, 'y')
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    train(cfg, resume=True)
    assert [path.name for path in folder.glob('iter_*')] == ['iter_8.pth']
