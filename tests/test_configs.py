"""All configs: they load, say what METHOD says, and run at toy size from stage 1 to stage 3."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS

from mmexact.apis.configs import read_config
from mmexact.engine.pseudo_label_hook import PseudoLabelHook
from tests.data import CORNER, position_code, write_pastis, write_raster
from tests.test_models.test_segmentors import SEGMENTORS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
EXACT = sorted((CONFIGS / 'exact').glob('*.py'))
STAGES = {
    'cls_pastis': ['seg_tsvit_pastis', 'seg_tsvit_pastis_full'],
    'cls_pastis_fast': ['seg_tsvit_pastis_fast'],
    'cls_demo': ['seg_tsvit_demo', 'seg_tsvit_demo_full'],
    'cls_raster_series': ['seg_tsvit_raster_series'],
}
"""Segmentors by the classifier that makes their masks."""
RUN_ELSEWHERE = {
    'cls_mtlcc': ['seg_tsvit_mtlcc', 'seg_tsvit_mtlcc_full'],
}
"""The same; tests/test_datasets/test_mtlcc/test_pipeline.py runs them."""


def load(name: str) -> Config:
    return read_config(CONFIGS / 'exact' / f'{name}.py')


def flat(settings: object, path: str = '') -> dict[str, object]:
    """All leaves by their path."""
    if isinstance(settings, dict):
        parts = [flat(value, f'{path}.{key}') for key, value in settings.items()]
    elif isinstance(settings, list | tuple):
        parts = [flat(value, f'{path}.{index}') for index, value in enumerate(settings)]
    else:
        return {path[1:]: settings}
    return {key: value for part in parts for key, value in part.items()}


def test_the_readme_lists_every_config():
    named = re.findall(r'`(\w+\.py)`', (CONFIGS / 'exact/README.md').read_text())
    assert sorted(named) == [path.name for path in EXACT]


def bases(path: Path) -> list[Path]:
    text = re.search(r'^_base_ = (.+?)(?:\n\n|\Z)', path.read_text(), re.DOTALL | re.MULTILINE)
    return [path.parent / name for name in re.findall(r"'(.+?)'", text[1])] if text else []


@pytest.mark.parametrize('path', EXACT, ids=lambda path: path.stem)
def test_a_reader_follows_three_bases_at_most(path):
    chains = [[path]]
    for _ in range(4):
        chains = [[*chain, base] for chain in chains for base in bases(chain[-1])]
    assert chains == []


def test_every_config_has_its_stage():
    stages = STAGES | RUN_ELSEWHERE
    names = {*stages, *(name for segmentors in stages.values() for name in segmentors)}
    others = {f'seg_{name}_{data}' for name in SEGMENTORS for data in ('pastis', 'demo')}
    assert {path.stem for path in EXACT} == names | others


@pytest.mark.parametrize('path', EXACT, ids=lambda path: path.stem)
def test_a_config_survives_dumping(path, tmp_path):
    cfg = read_config(path)
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', ['seg_tsvit_pastis', 'seg_tsvit_demo', 'seg_tsvit_mtlcc'])
def test_the_fully_supervised_baseline_differs_in_its_masks_only(name):
    weak, full = flat(load(name).to_dict()), flat(load(f'{name}_full').to_dict())
    assert weak.keys() == full.keys()
    differing = {key for key in weak if weak[key] != full[key]}
    assert differing == {'train_dataloader.dataset.pseudo_label_dir', 'work_dir'}
    assert full['train_dataloader.dataset.pseudo_label_dir'] is None


@pytest.mark.parametrize('classifier', STAGES | RUN_ELSEWHERE)
def test_stage_3_reads_where_stage_2_writes(classifier, monkeypatch):
    monkeypatch.setenv('ROTATION', '3')
    name = (STAGES | RUN_ELSEWHERE)[classifier][0]
    first, segmentor = load(classifier), load(name)
    # refine_pseudo.py writes to refined_masks in the work folder of stage 1.
    written = os.path.normpath(f'{first.work_dir}/refined_masks')
    assert os.path.normpath(segmentor.train_dataloader.dataset.pseudo_label_dir) == written
    for key in ('type', 'data_root', 'window_size', 'metainfo', 'folds', 'split', 'labels'):
        mapped = first.test_dataloader.dataset.get(key)
        assert segmentor.train_dataloader.dataset.get(key) == mapped
    assert segmentor.work_dir != first.work_dir
    # The command in the docstring names the last checkpoint.
    text = (CONFIGS / 'exact' / f'{name}.py').read_text()
    told = re.findall(r'iter_(\d+)\.pth', text)
    assert told in ([], [str(first.train_cfg.max_iters)])


@pytest.mark.parametrize(
    ('rotation', 'train', 'val', 'test'),
    [
        (None, [1, 2, 3], [4], [5]),
        (1, [1, 2, 3], [4], [5]),
        (2, [2, 3, 4], [5], [1]),
        (3, [3, 4, 5], [1], [2]),
        (4, [4, 5, 1], [2], [3]),
        (5, [5, 1, 2], [3], [4]),
    ],
)
def test_the_five_official_rotations(rotation, train, val, test, monkeypatch):
    monkeypatch.delenv('ROTATION', raising=False)
    if rotation:
        monkeypatch.setenv('ROTATION', str(rotation))
    for name in ('cls_pastis', 'seg_tsvit_pastis', 'seg_tsvit_pastis_full'):
        cfg = load(name)
        assert cfg.train_dataloader.dataset.folds == train
        assert cfg.val_dataloader.dataset.folds == val
        # The classifier maps the windows that it was trained on.
        assert cfg.test_dataloader.dataset.folds == (train if name == 'cls_pastis' else test)
        assert cfg.work_dir.endswith(f'rotation{rotation or 1}')


@pytest.mark.parametrize('name', ['cls_pastis', 'seg_utae_demo', 'seg_fcn_pastis', 'cls_mtlcc'])
def test_one_flip_gives_every_orientation_equally_often(name):
    """As two independent flips of probability 1/2 do: each of the four with probability 1/4."""
    steps = load(name).train_dataloader.dataset.pipeline
    (flip,) = [TRANSFORMS.build(step) for step in steps if step['type'] == 'RandomFlip']
    img = np.arange(2 * 2 * 600).reshape(2, 2, 600)  # more channels than OpenCV takes
    mask = img[..., 0]
    orientations = [img, img[:, ::-1], img[::-1], img[::-1, ::-1]]
    np.random.seed(0)
    counts = np.zeros(4)
    for _ in range(1000):
        flipped = flip(dict(img=img, gt_seg_map=mask, seg_fields=['gt_seg_map']))
        matches = [np.array_equal(flipped['img'], orientation) for orientation in orientations]
        counts += matches
        np.testing.assert_array_equal(flipped['gt_seg_map'], flipped['img'][..., 0])
    assert counts.sum() == 1000
    assert np.abs(counts - 250).max() < 50


def test_statistics_are_written_once():
    paths = [*CONFIGS.rglob('*.py')]
    for number in ('1165.94', '1942.62'):
        found = [path.name for path in paths if number in path.read_text()]
        assert found == ['pastis.py']
    statistics = load('cls_pastis').model.data_preprocessor
    assert statistics == load('seg_tsvit_pastis').model.data_preprocessor
    assert statistics.mean[9] == 1639.37
    assert statistics.std[9] == 1299.28


def test_the_classifier_has_the_paper_s_recipe():
    """METHOD sections 2 to 5 and 8."""
    cfg = load('cls_pastis')
    settings = flat(cfg.to_dict())
    expected = {
        'model.backbone.in_channels': 10,
        'model.backbone.num_classes': 18,
        'model.backbone.img_size': 24,
        'model.backbone.patch_size': 2,
        'model.backbone.embed_dims': 128,
        'model.backbone.head_dims': 64,
        'model.backbone.num_heads': 4,
        'model.backbone.temporal_depth': 8,
        'model.backbone.spatial_depth': 4,
        'model.backbone.mlp_ratio': 4,
        'model.backbone.attn_residual': 'normed',
        'model.backbone.mask_padding': False,
        'model.backbone.global_token': True,
        'model.spatial_clue_head.num_prototypes': 2,
        'model.spatial_clue_head.start_iter': 4000,
        'model.spatial_clue_head.momentum': 0.999,
        'model.spatial_clue_head.fg_threshold': 0.4,
        'model.spatial_clue_head.bg_threshold': 0.2,
        'model.spatial_clue_head.loss_weight': 0.01,
        'model.temporal_clue_head.loss_weight': 0.015,
        'model.temporal_clue_head.dilation': 2,
        'model.temporal_clue_head.num_steps': 3,
        'model.test_cfg.cam': 'clue',
        'model.test_cfg.background_score': 0.33,
        'model.data_preprocessor.num_dates': 60,
        'train_dataloader.batch_size': 48,
        'train_dataloader.dataset.window_size': 24,
        'optim_wrapper.optimizer.type': 'AdamW',
        'optim_wrapper.optimizer.lr': 1e-3,
        'optim_wrapper.optimizer.weight_decay': 0.0,
        'train_cfg.max_iters': 15000,
    }
    assert {key: settings[key] for key in expected} == expected


def test_the_segmentor_has_the_paper_s_recipe():
    settings = flat(load('seg_tsvit_pastis').to_dict())
    expected = {
        'model.type': 'EncoderDecoder',
        'model.backbone.num_classes': 19,
        'model.backbone.embed_dims': 128,
        'model.backbone.head_dims': 32,
        'model.backbone.num_heads': 4,
        'model.backbone.temporal_depth': 4,
        'model.backbone.spatial_depth': 4,
        'model.backbone.attn_residual': 'both',
        'model.decode_head.num_classes': 19,
        'model.decode_head.pixel_order': 'patch',
        'model.decode_head.loss_decode.type': 'CrossEntropyLoss',
        'model.decode_head.loss_decode.avg_non_ignore': True,
        'model.test_cfg.mode': 'slide',
        'train_dataloader.batch_size': 48,
        'val_dataloader.dataset.window_size': None,
        'test_dataloader.dataset.window_size': None,
        'test_evaluator.type': 'IoUMetric',
        'optim_wrapper.optimizer.lr': 1e-3,
        'train_cfg.max_iters': 75000,
    }
    assert {key: settings[key] for key in expected} == expected


@pytest.mark.parametrize(
    ('name', 'warmup', 'start'),
    [
        ('cls_pastis', 3 / 20, 5e-6),
        ('seg_tsvit_pastis', 10 / 100, 1e-8),
        ('cls_demo', None, 5e-6),
        ('seg_tsvit_demo', None, 1e-6),
        ('cls_raster_series', 0.15, 5e-6),
        ('seg_tsvit_raster_series', 0.1, 1e-8),
    ],
)
def test_learning_rate_step_by_step(name, warmup, start):
    """Linear from ``start`` to 1e-3 during the ``warmup`` share, then a cosine to 5e-6."""
    cfg = load(name)
    settings = cfg.optim_wrapper.optimizer
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    # Long schedules in fewer, longer steps.
    longer = max(1, cfg.train_cfg.max_iters // 1500)
    steps = cfg.train_cfg.max_iters // longer
    schedulers = []
    for scheduler in cfg.param_scheduler:
        assert scheduler.begin % longer == scheduler.end % longer == 0
        span = dict(begin=scheduler.begin // longer, end=scheduler.end // longer)
        schedulers.append(PARAM_SCHEDULERS.build(dict(scheduler, **span, optimizer=optimizer)))
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    rates = np.array(rates)
    peak = int(rates.argmax())
    assert rates[0] == pytest.approx(start, rel=1e-6)
    assert rates[peak] == pytest.approx(1e-3, rel=1e-3)
    if warmup:
        assert peak == pytest.approx(warmup * steps, abs=1)
    straight = np.linspace(rates[0], rates[peak], peak + 1)
    np.testing.assert_allclose(rates[: peak + 1], straight, atol=1e-8)
    assert (np.diff(rates[peak + 1 :]) < 0).all()
    assert rates[-1] == pytest.approx(5e-6, abs=2e-7)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A PASTIS tree of five patches and a raster series, all 24 pixels high."""
    root = tmp_path_factory.mktemp('data')
    parcels = np.arange(4 * 5).reshape(4, 5).repeat(6, 0).repeat(6, 1)[:, :26] % 20
    masks = {patch: np.roll(parcels, patch, 1) for patch in range(1, 6)}
    write_pastis(root / 'pastis', masks, folds={patch: patch for patch in masks}, bands=10)
    for month, values in zip((3, 6, 9), position_code(3, 2, 24, 50), strict=True):
        write_raster(root / 'rasters' / 'series' / f'S2_2017{month:02d}15.tif', values)
    codes = np.array([1, 2, 3, 4, 8], np.uint8).repeat(10)[None, None].repeat(24, 1)
    write_raster(root / 'rasters' / 'landcover.tif', codes)
    return root


def shrink(name: str, data: Path, work_dir: Path) -> Config:
    """Make a model of 8 wide tokens that trains one step and is validated."""
    cfg = load(name)
    backbone = dict(embed_dims=8, temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=4)
    model = dict(backbone=backbone)
    if name.startswith('cls'):
        model['cls_head'] = dict(embed_dims=8)
        model['spatial_clue_head'] = dict(embed_dims=8, start_iter=0)
    else:
        model['decode_head'] = dict(in_channels=8)
    root = str(data / ('rasters' if 'raster' in name else 'pastis'))
    loader = dict(num_workers=0, batch_size=2, dataset=dict(data_root=root, serialize_data=False))
    # MMEngine keeps loggers and visualizers by name, for the life of the process.
    unique = f'{work_dir.name}_{name}'
    cfg.merge_from_dict(
        dict(
            model=model,
            train_dataloader=dict(loader, persistent_workers=False),
            val_dataloader=dict(loader, persistent_workers=False, batch_size=1),
            test_dataloader=loader if name.startswith('cls') else dict(loader, batch_size=1),
            train_cfg=dict(max_iters=1, val_interval=1),
            default_hooks=dict(
                checkpoint=dict(interval=1),
                logger=dict(interval=1),
                segmentor_check=dict(check_values=False),  # pixels tell their place
            ),
            visualizer=dict(name=unique),
            experiment_name=unique,
            work_dir=str(work_dir / name),
            log_level='WARNING',
        )
    )
    return cfg


@pytest.mark.parametrize('classifier', STAGES)
def test_all_stages_run_at_toy_size(classifier, data, tmp_path):
    masks = tmp_path / 'masks'
    run = Runner.from_cfg(shrink(classifier, data, tmp_path))
    run.train()
    evaluator = run.build_evaluator(run.cfg.test_evaluator)
    scores = PseudoLabelHook(str(masks)).map_windows(run, run.cfg.test_dataloader, evaluator)
    assert set(scores) >= {'multi-label/mAP', 'pseudo/OA', 'pseudo/hindsight_mIoU'}
    assert run.model.spatial_clue_head.step == 1
    manifest = json.loads((masks / 'manifest.json').read_text())
    assert manifest['windows'] == (2 if 'raster' in classifier else 3)

    for name in STAGES[classifier]:
        cfg = shrink(name, data, tmp_path)
        if cfg.train_dataloader.dataset.pseudo_label_dir is not None:
            cfg.train_dataloader.dataset.pseudo_label_dir = str(masks)
        run = Runner.from_cfg(cfg)
        run.train()
        assert run.iter == 1
        metrics = run.test()
        assert 0 <= metrics['mIoU'] <= 100
        # A whole patch is mapped by windows.
        sample = run.test_dataloader.dataset[0]
        with torch.no_grad():
            (predicted,) = run.model.test_step({key: [value] for key, value in sample.items()})
        shape = (24, 50) if 'raster' in name else (24, 26)
        assert predicted.pred_sem_seg.data.shape == (1, *shape)


def test_pseudo_masks_of_rasters_lie_where_the_rasters_do(data, tmp_path):
    cfg = shrink('cls_raster_series', data, tmp_path)
    run = Runner.from_cfg(cfg)
    PseudoLabelHook(str(tmp_path / 'masks')).map_windows(run, cfg.test_dataloader)
    with rasterio.open(tmp_path / 'masks' / 'area.tif') as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == CORNER
        assert raster.shape == (24, 48)  # two windows; what is left over has no mask
        assert raster.read(1).max() <= 4
        assert raster.tags(1)['class_2'] == 'Forest'
