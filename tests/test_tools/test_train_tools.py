"""train.py, test.py and dist_train.sh on a tiny segmentor."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data import write_pastis

REPO = Path(__file__).resolve().parents[2]
TOOLS = REPO / 'tools'

CONFIG = """
_base_ = [{runtime!r}]
preprocessor = dict(type='SITSDataPreprocessor', mean=[300.0] * 3, std=[300.0] * 3)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=preprocessor,
    backbone=dict(
        type='TSViT', in_channels=3, num_classes=19, img_size=4, patch_size=2, embed_dims=8,
        temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=8,
    ),
    decode_head=dict(
        type='TSViTHead', in_channels=8, num_classes=19, patch_size=2,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
load = [dict(type='LoadSITS'), dict(type='LoadSITSAnnotations')]
pack = dict(type='PackSITSInputs')
data = dict(
    type='PASTISDataset', data_root={root!r}, folds=(1,), window_size=4, pipeline=[*load, pack]
)
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler'), dataset=data
)
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=data
)
test_evaluator = dict(type='IoUMetric')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
)
tta_model = dict(type='SegTTAModel')
flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
tta_pipeline = [
    dict(type='LoadSITS'),
    dict(type='TestTimeAug', transforms=[flips, [load[1]], [pack]]),
]
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    """Config of a segmentor on one patch of 10 x 13: six windows."""
    folder = tmp_path_factory.mktemp('tool')
    mask = np.arange(130).reshape(10, 13) % 19
    write_pastis(folder / 'PASTIS', {7: mask})
    runtime = REPO / 'configs/_base_/default_runtime.py'
    text = CONFIG.format(runtime=str(runtime), root=str(folder / 'PASTIS'))
    (folder / 'tiny.py').write_text(text)
    return folder / 'tiny.py'


@pytest.fixture(scope='module')
def trained(config) -> Path:
    """Work folder of four iterations of training, in bfloat16."""
    output = start(
        sys.executable, TOOLS / 'train.py', config, '--amp', '--work-dir', 'run', cwd=config.parent
    )
    # Of MMSeg's optional operators, which we never use, nobody hears.
    assert 'MultiScaleDeformableAttention' not in output
    return config.parent / 'run'


@pytest.fixture
def tool(config, monkeypatch, tmp_path):
    """Run a tool in this process, which saves the seconds of importing everything again."""
    # MMEngine keeps loggers and visualizers by name, for the life of the process.
    name = tmp_path.name
    names = ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}']
    monkeypatch.chdir(config.parent)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def call(script: str, *args: object) -> None:
        monkeypatch.setattr('sys.argv', [script, *map(str, args), *names])
        runpy.run_path(str(TOOLS / script), run_name='__main__')

    return call


def start(*command: object, cwd: Path) -> str:
    """Run a process that must succeed, and return what it printed."""
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def scalars(work_dir: Path) -> list[dict]:
    """Everything that the latest run in a work folder logged."""
    log = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1]
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_train_with_amp_keeps_float32_weights(trained):
    log = scalars(trained)
    assert [entry['step'] for entry in log] == [1, 2, 3, 4]
    assert all(np.isfinite(entry['loss']) for entry in log)
    saved = torch.load(trained / 'iter_4.pth', weights_only=False)
    assert {weight.dtype for weight in saved['state_dict'].values()} == {torch.float32}
    assert 'BFloat16OptimWrapper' in saved['meta']['cfg']


def test_resume_goes_on_from_the_latest_checkpoint(tool, trained, tmp_path):
    checkpoint = tmp_path / 'iter_4.pth'
    checkpoint.write_bytes((trained / 'iter_4.pth').read_bytes())
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    options = ['--resume', '--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_iters=6']
    tool('train.py', 'tiny.py', *options)
    assert [entry['step'] for entry in scalars(tmp_path)] == [5, 6]


def test_two_cpu_ranks_train_over_gloo(config):
    work_dir = config.parent / 'two'
    start(TOOLS / 'dist_train.sh', config, 2, '--work-dir', work_dir, cwd=config.parent)
    assert [entry['step'] for entry in scalars(work_dir)] == [1, 2, 3, 4]
    log = next(work_dir.glob('*/*.log')).read_text()
    assert "dist_cfg: {'backend': 'gloo'}" in log
    assert 'GPU number: 2' in log  # how MMEngine calls the number of processes


@pytest.mark.parametrize('flags', [[], ['--tta']])
def test_test_saves_one_mask_for_each_window(tool, trained, tmp_path, flags):
    work_dir, masks = tmp_path / 'tested', tmp_path / 'masks'
    checkpoint = trained / 'iter_4.pth'
    tool('test.py', 'tiny.py', checkpoint, '--work-dir', work_dir, '--out', masks, *flags)
    metrics = json.loads(next(work_dir.glob('*/*.json')).read_text())
    assert 0 <= metrics['mIoU'] <= 100
    assert sorted(mask.name for mask in masks.iterdir()) == [f'7_{n}.png' for n in range(6)]
    for mask in masks.iterdir():
        pixels = np.asarray(Image.open(mask))
        assert pixels.shape == (4, 4)
        assert pixels.dtype == np.uint8
        assert pixels.max() < 19


def test_show_dir_gets_pictures(tool, trained, tmp_path):
    checkpoint, pictures = trained / 'iter_4.pth', tmp_path / 'pictures'
    every = ['--cfg-options', 'default_hooks.visualization.interval=1']
    tool(
        'test.py', 'tiny.py', checkpoint, '--work-dir', tmp_path, '--show-dir', pictures, *every
    )  # fmt: skip
    assert len(list(pictures.rglob('*.png'))) == 6


def test_checkpoint_of_another_model_is_refused(tool, trained, tmp_path):
    deeper = ['--work-dir', tmp_path, '--cfg-options', 'model.backbone.temporal_depth=2']
    with pytest.raises(ValueError, match=r'temporal_encoder\.layers\.1') as refusal:
        tool('test.py', 'tiny.py', trained / 'iter_4.pth', *deeper)
    assert 'checkpoint of another model than EncoderDecoder' in str(refusal.value)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['no.py', 'no.pth'], 'argument config: no.py: no such file'),
        (['tiny.py', '.'], 'argument checkpoint: .: is a folder, expected a file'),
        (['tiny.py', 'tiny.py', '--cfg-options', 'seed'], "expected KEY=VALUE, got 'seed'"),
    ],
)
def test_wrong_argument_is_one_line(tool, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        tool('test.py', *args)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count('\n') == 1
    assert printed.startswith('test.py: error: ')
    assert message in printed


def test_amp_refuses_another_wrapper(tool, capsys):
    with pytest.raises(SystemExit):
        tool('train.py', 'tiny.py', '--amp', '--cfg-options', 'optim_wrapper.type=OptimWrapperDict')
    assert 'the config has a OptimWrapperDict' in capsys.readouterr().err
