"""Tiny projects of a user's own area: three dates of two bands, 16 x 24 pixels of 10 m."""

from pathlib import Path

import numpy as np

from tests.data import CORNER, position_code, write_raster

AREA = """
area = dict(
    data_root='{root}',
    rasters='series/*.tif',
    {labels}
    classes=('Other', 'Wheat', 'Maize'),
    palette=[[9, 9, 9], [250, 200, 0], [0, 200, 0]],
    mean=[500, 500],
    std=[300, 300],
    window_size=8,
    patch_size=1,
    iterations=2,
    work_dir='{{{{ fileDirname }}}}/results',
)
"""
MASK = "mask='crops.tif', codes={1: 'Wheat', 2: 'Maize', 9: 'Other'},"
POINTS = "labels=dict(file='points.csv', crs='EPSG:32633', coordinates=('x', 'y')),"
BACKBONE = 'embed_dims=8, temporal_depth=1, num_heads=1, head_dims=4'
LOADER = 'train_dataloader = dict(num_workers=0, persistent_workers=False)'
MODEL = {
    stage: f"""
model = dict(backbone=dict({BACKBONE}), {heads})
{LOADER}
default_hooks = dict(checkpoint=dict(interval=1))
log_level = 'WARNING'
"""
    for stage, heads in dict(
        cls='cls_head=dict(embed_dims=8), spatial_clue_head=dict(embed_dims=8)',
        seg='decode_head=dict(in_channels=8)',
    ).items()
}
"""What makes a config one of a tiny model that trains in this process."""


def write_rasters(root: Path) -> None:
    """Write the series, ``crops.tif`` (three columns of six windows) and ``points.csv``."""
    for month, values in zip((3, 6, 9), position_code(3, 2, 16, 24), strict=True):
        write_raster(root / 'series' / f'S2_2017{month:02d}15.tif', values)
    crops = np.array([1, 9, 2], np.uint8).repeat(8)[None, None].repeat(16, 1)
    crops[0, 4:12, 4:12] = 2
    write_raster(root / 'crops.tif', crops)
    west, north = CORNER.c, CORNER.f
    points = f'x,y,label\n{west + 5},{north - 5},Wheat\n{west + 165},{north - 85},Maize\n'
    (root / 'points.csv').write_text(points)


def write_project(root: Path, labels: str = MASK) -> Path:
    """Write the rasters, and beside them ``area.py``, ``cls.py`` and ``seg.py``."""
    write_rasters(root)
    (root / 'area.py').write_text(AREA.format(root=root, labels=labels))
    for stage, model in MODEL.items():
        base = f"_base_ = ['./area.py', 'mmexact::_base_/stages/{stage}_area.py']\n"
        (root / f'{stage}.py').write_text(base + model)
    return root
