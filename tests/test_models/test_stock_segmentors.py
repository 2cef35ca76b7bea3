"""Stock backbones and heads behind the wrappers: what the page on segmentors says of them."""

from importlib.util import find_spec
from operator import attrgetter
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmexact.engine.segmentor_check import check_components
from mmexact.sits import fold_time
from tests.stock_segmentors import (
    BACKBONES,
    BANDS,
    CHANNELS,
    CLASSES,
    DATES,
    HEADS,
    NORM,
    STACKED,
    Row,
    Settings,
    resnet,
    table,
)
from tests.test_models.test_segmentors import REPO

WRAPPED = dict(in_channels=BANDS, upsample=4)
STEM = dict(WRAPPED, type='TemporalStem', channels=CHANNELS, num_heads=2, d_model=8, d_k=2)
STACK = dict(WRAPPED, type='TemporalStack', num_dates=DATES)
LEARNING = dict(
    data_preprocessor=dict(type='SITSDataPreprocessor', mean=[1500] * BANDS, std=[900] * BANDS),
    train_cfg=dict(),
    test_cfg=ConfigDict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)


@pytest.fixture(scope='module')
def batch() -> dict[str, list[Any]]:
    """Two windows of four dates."""
    inputs, samples = [], []
    for days in (20 + 30 * torch.arange(DATES), 15 + 40 * torch.arange(DATES)):
        bands = torch.randint(0, 3000, (DATES, BANDS, 24, 24)).short()
        inputs.append(fold_time(bands, days))
        truth = PixelData(data=torch.randint(0, CLASSES, (1, 24, 24)))
        meta = dict(img_shape=(24, 24), ori_shape=(24, 24), pad_shape=(24, 24))
        samples.append(SegDataSample(gt_sem_seg=truth, metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture(autouse=True)
def as_installed(monkeypatch):
    """The packages that `pip install mmexact` brings, whatever else is here."""
    monkeypatch.setattr(
        'mmexact.engine.segmentor_check.find_spec',
        lambda name: None if name in ('mmcv._ext', 'mmdet', 'timm') else find_spec(name),
    )


def channels_of(segmentor: Settings) -> list[int]:
    """Count the channels of each level that a head can read."""
    parts = [
        MODELS.build(segmentor[name]).eval() for name in ('backbone', 'neck') if name in segmentor
    ]
    features = torch.ones(1, DATES * (BANDS + 1), 24, 24)
    with torch.no_grad():
        for part in parts:
            features = part(features)
    levels = [features] if isinstance(features, torch.Tensor) else features
    return [(level if isinstance(level, torch.Tensor) else level[0]).shape[1] for level in levels]


def reads(row: Row, head: Settings, channels: list[int]) -> Settings:
    """Make the settings that most heads share."""
    if row.levels == ():
        return {}
    levels = row.levels or (head.get('in_index', len(channels) - 1),)
    taken = dict(in_index=list(levels), in_channels=[channels[level] for level in levels])
    if len(levels) == 1:
        taken = {key: value for key, (value,) in taken.items()}
    return taken | dict(channels=8, num_classes=CLASSES, norm_cfg=NORM, align_corners=False)


def run(row: Row, backbone: Settings, head: Settings, batch: dict[str, list[Any]]) -> None:
    """Train one step and predict."""
    segmentor = dict(type='EncoderDecoder', backbone=backbone) | LEARNING | row.segmentor
    first = segmentor.pop('before', None)
    check_components(dict(segmentor, decode_head=head))
    usual = reads(row, head, channels_of(segmentor))
    heads = usual | head if first is None else [usual | first, usual | head]
    model = MODELS.build(dict(segmentor, decode_head=heads))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    log = model.train_step(batch, OptimWrapper(optimizer))
    assert log['loss'].isfinite()
    with torch.no_grad():
        predicted, _ = model.eval().test_step(batch)
    assert predicted.seg_logits.data.shape == (CLASSES, 24, 24)
    assert predicted.seg_logits.data.isfinite().all()


def try_row(row: Row, *parts: Any) -> None:
    """Run what the page says works; of the rest, read the message."""
    if row.error is None:
        run(row, *parts)
    else:
        with pytest.raises((ValueError, RuntimeError, AttributeError), match=row.error):
            run(row, *parts)


@pytest.mark.parametrize('row', BACKBONES, ids=attrgetter('name'))
def test_a_backbone_behind_the_stem(row, batch):
    wrapper = STEM | row.wrapper | dict(backbone=dict(row.settings, type=row.name))
    try_row(row, wrapper, row.partner or dict(type='FCNHead'), batch)


@pytest.mark.parametrize('row', HEADS, ids=attrgetter('name'))
def test_a_head_behind_the_stack(row, batch):
    backbone = row.partner or resnet(STACKED)
    try_row(row, STACK | dict(backbone=backbone), dict(row.settings, type=row.name), batch)


def test_what_one_head_refuses(batch):
    (row,) = (row for row in HEADS if row.name == 'DMHead')
    with pytest.raises(RuntimeError, match='view size is not compatible'):
        run(row, STEM | dict(backbone=resnet()), dict(type=row.name), batch)


@pytest.mark.parametrize(('title', 'rows'), [('backbone', BACKBONES), ('head', HEADS)])
def test_the_page_has_these_rows(title, rows):
    assert table(title, rows) in (REPO / 'docs' / 'segmentors.md').read_text()
