"""From points to a map with the tools, on an area written by hand."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.data import CORNER, position_code, write_raster

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
AREA = """
area = dict(
    data_root='{root}',
    rasters='series/*.tif',
    labels=dict(file='points.csv', crs='EPSG:32633', coordinates=('x', 'y')),
    classes=('Other', 'Wheat', 'Maize'),
    palette=[[9, 9, 9], [250, 200, 0], [0, 200, 0]],
    mean=[5000, 5000],
    std=[3000, 3000],
    window_size=8,
    patch_size=1,
    iterations=2,
    work_dir='{root}/work',
)
"""
SMALL = ('embed_dims=8', 'temporal_depth=1', 'num_heads=1', 'head_dims=4')
HEADS = dict(
    cls=['model.cls_head.embed_dims=8', 'model.spatial_clue_head.embed_dims=8'],
    seg=['model.decode_head.in_channels=8'],
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a tool on a config of the project, with a tiny model."""

    def call(name: str, stage: str, *arguments: str) -> None:
        options = [f'model.backbone.{setting}' for setting in SMALL] + HEADS[stage]
        # MMEngine keeps visualizers and loggers by name, for the life of the process.
        options += [f'{key}={tmp_path.name}_{stage}_{name}' for key in ('visualizer.name',)]
        options += [f'experiment_name={tmp_path.name}_{stage}_{name}', 'log_level=WARNING']
        if name == 'train.py':
            options += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=0']
        command = [name, str(tmp_path / f'{stage}.py'), *arguments, '--cfg-options', *options]
        monkeypatch.setattr('sys.argv', command)
        runpy.run_path(str(TOOLS / name), run_name='__main__')

    return call


def test_from_points_to_a_map(tmp_path, run):
    """Of six windows of 8 x 8 pixels of 10 m the first and the last have a label."""
    for month, values in zip((3, 6, 9), position_code(3, 2, 16, 25), strict=True):
        write_raster(tmp_path / 'series' / f'S2_2017{month:02d}15.tif', values)
    west, north = CORNER.c, CORNER.f
    points = f'x,y,label\n{west + 5},{north - 5},Wheat\n{west + 165},{north - 85},Maize\n'
    (tmp_path / 'points.csv').write_text(points)
    (tmp_path / 'area.py').write_text(AREA.format(root=tmp_path))
    for stage in ('cls', 'seg'):
        base = f"_base_ = ['./area.py', 'mmexact::_base_/stages/{stage}_area.py']\n"
        (tmp_path / f'{stage}.py').write_text(base)

    work = tmp_path / 'work'
    run('train.py', 'cls')
    run('gen_pseudo.py', 'cls', f'{work}/cls/iter_2.pth')
    masks = work / 'cls/pseudo_masks'
    assert sorted(path.name for path in masks.glob('*.png')) == ['area_0.png', 'area_5.png']
    with rasterio.open(masks / 'area.tif') as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == CORNER
        values = raster.read(1)
    # Only crops that occur in a window get a CAM there; 255 where there is no window.
    assert values.shape == (16, 24)
    assert set(np.unique(values[:8, :8])) <= {0, 1}
    assert set(np.unique(values[8:, 16:])) <= {0, 2}
    assert (values[:8, 8:] == 255).all()

    run('train.py', 'seg')
    run('predict.py', 'seg', f'{work}/seg/iter_2.pth')
    with rasterio.open(work / 'seg/maps/area.tif') as raster:
        assert raster.shape == (16, 25)
        assert raster.transform == CORNER
        assert raster.read(1).max() <= 2
