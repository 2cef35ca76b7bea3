"""A tiny segmentor and a scene for it, with gaps, one corner without any observation, no labels."""

from pathlib import Path

import numpy as np

from tests.data import SIZE, write_raster

NODATA = -1
CORNER_SIDE = 5
"""The top left 5 x 5 pixels were never observed."""

CONFIG = """
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SITSDataPreprocessor', mean=[500.0] * 2, std=[300.0] * 2),
    backbone=dict(
        type='TSViT', in_channels=2, num_classes=3, img_size=4, patch_size=2, embed_dims=8,
        temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=8,
    ),
    decode_head=dict(
        type='TSViTHead', in_channels=8, num_classes=3, patch_size=2,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    test_cfg=dict(mode='slide', crop_size=(4, 4), stride=(4, 4)),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(
        type='RasterSeriesDataset',
        data_root={root!r},
        series=dict(
            area=dict(rasters='area/*.tif', mask='none.tif'),
            field=dict(rasters='field/*.tif'),
        ),
        image_labels_file='none.csv',
        filter_cfg=dict(require_crop=True),
        metainfo=dict(
            classes=('Other', 'Crop', 'Grass'), palette=[[9, 9, 9], [250, 200, 0], [0, 200, 0]]
        ),
        pipeline=[
            dict(type='LoadSITS', num_dates=4, date_choice='even'),
            dict(type='LoadSITSAnnotations'),
            dict(type='PackSITSInputs'),
        ],
    ),
)
"""


def write_scenes(root: Path) -> Path:
    """Write two areas, five dates of two bands each, and ``scene.py``, the config to map them."""
    generator = np.random.default_rng(0)
    for name, size in (('area', SIZE), ('field', (4, 4))):
        series = generator.integers(0, 1000, (5, 2, *size)).astype(np.int16)
        if name == 'area':
            # A pixel misses at most two of the dates, other ones in each band.
            series[np.indices(series.shape).sum(0) % 4 == 0] = NODATA
            series[:, :, :CORNER_SIDE, :CORNER_SIDE] = NODATA
        for month, values in enumerate(series, 1):
            write_raster(root / name / f'2018{month:02}15.tif', values, nodata=NODATA)
    (root / 'scene.py').write_text(CONFIG.format(root=str(root)))
    return root / 'scene.py'
