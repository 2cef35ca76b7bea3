"""The shipped segmentors beside TSViT: their configs at full size, and the demo's in a Runner."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS, OPTIM_WRAPPERS
from mmseg.structures import SegDataSample

from mmexact.sits import fold_time
from tests.data import write_pastis

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs' / 'exact'
SEGMENTORS = {
    'utae': 1_086_969,
    'uconvlstm': 1_520_249,
    'unet3d': 1_550_435,
    'vistaformer': 1_120_595,
    'upernet_convnext': 31_131_718,
    'segformer': 3_575_827,
    'deeplabv3plus': 12_502_658,
    'fcn': 12_856_038,
}
"""Parameters of seg_<name>_pastis.py, by name."""
COMPOSITES = ('deeplabv3plus', 'fcn')


def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'{name}.py')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.mark.parametrize('name', SEGMENTORS)
def test_configs_state_deltas(name):
    for data in ('pastis', 'demo'):
        assert len((CONFIGS / f'seg_{name}_{data}.py').read_text().splitlines()) <= 30


@pytest.mark.parametrize('name', SEGMENTORS)
def test_a_pastis_config_differs_from_tsvit_s_in_its_model_only(name):
    tsvit, cfg = load('seg_tsvit_pastis'), load(f'seg_{name}_pastis')
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks', 'test_evaluator'):
        assert cfg[key] == tsvit[key]
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        ours, theirs = cfg[key].to_dict(), tsvit[key].to_dict()
        steps = [step['type'] for step in ours['dataset'].pop('pipeline')]
        assert ('MonthlyComposite' in steps) == (name in COMPOSITES)
        del theirs['dataset']['pipeline']
        assert ours == theirs
    assert cfg.model.data_preprocessor.mean == tsvit.model.data_preprocessor.mean
    assert cfg.model.data_preprocessor.num_dates == (12 if name in COMPOSITES else 60)


def batch(num_classes: int) -> dict:
    """Two windows of 12 dates; the class is the reflectance's thousand, so it can be learned."""
    inputs, samples = [], []
    for first in (0, 5):
        truth = torch.arange(first, first + 24).remainder(num_classes).repeat(1, 24, 1)
        bands = (1000 * truth).to(torch.int16).expand(12, 10, 24, 24)
        inputs.append(fold_time(bands, 20 + 30 * torch.arange(12)))
        meta = dict(img_shape=(24, 24), ori_shape=(24, 24))
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=truth), metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('name', SEGMENTORS)
def test_a_full_size_model_trains_and_predicts(name):
    cfg = load(f'seg_{name}_pastis')
    cfg.model.data_preprocessor.num_dates = 12
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    parameters = list(model.parameters())
    assert sum(parameter.numel() for parameter in parameters) == SEGMENTORS[name]
    # Without decay Adam moves what has a gradient, and nothing else.
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0)
    wrapper = OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer))
    before = [parameter.clone() for parameter in parameters]
    log = model.train_step(batch(19), wrapper)
    # Nothing is learned yet: about ln 19, and 0.4 of that from an auxiliary head.
    expected = np.log(19) * (1.4 if 'auxiliary_head' in cfg.model else 1)
    assert log['loss'].item() == pytest.approx(expected, rel=0.25)
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    moved = [not torch.equal(*pair) for pair in zip(before, parameters, strict=True)]
    assert all(moved)
    with torch.no_grad():
        (predicted, _) = model.test_step(batch(19))
    assert predicted.seg_logits.data.shape == (19, 24, 24)
    assert predicted.seg_logits.data.isfinite().all()
    assert predicted.pred_sem_seg.data.shape == (1, 24, 24)


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    """Five patches of 24 x 26 pixels, one per fold."""
    parcels = np.arange(4 * 5).reshape(4, 5).repeat(6, 0).repeat(6, 1)[:, :26] % 9
    masks = {patch: np.roll(parcels, patch, 1) for patch in range(1, 6)}
    root = tmp_path_factory.mktemp('data')
    return write_pastis(root, masks, folds={patch: patch for patch in masks}, bands=10)


def shrink(cfg: Config, tree: Path, work_dir: Path) -> Config:
    """Make a run of one step, with a validation of whole patches."""
    loader = dict(num_workers=0, batch_size=2, persistent_workers=False)
    data = dict(dataset=dict(data_root=str(tree), serialize_data=False))
    cfg.merge_from_dict(
        dict(
            train_dataloader=loader | data,
            val_dataloader=dict(loader, batch_size=1) | data,
            test_dataloader=dict(loader, batch_size=1) | data,
            train_cfg=dict(max_iters=1, val_interval=1),
            # MMEngine keeps loggers and visualizers by name, for the life of the process.
            visualizer=dict(name=work_dir.name),
            experiment_name=work_dir.name,
            work_dir=str(work_dir),
            log_level='WARNING',
            # The tree's pixels tell their place, in no unit.
            default_hooks=dict(segmentor_check=dict(check_values=False)),
        )
    )
    cfg.train_dataloader.dataset.pseudo_label_dir = None
    return cfg


@pytest.mark.parametrize('name', SEGMENTORS)
def test_a_demo_runs(name, tree, tmp_path):
    run = Runner.from_cfg(shrink(load(f'seg_{name}_demo'), tree, tmp_path))
    run.train()
    metrics = run.test()
    assert 0 <= metrics['mIoU'] <= 100
    sample = run.test_dataloader.dataset[0]
    with torch.no_grad():
        (predicted,) = run.model.test_step({key: [value] for key, value in sample.items()})
    assert predicted.pred_sem_seg.data.shape == (1, 24, 26)  # a whole patch, mapped by windows
