"""One file of each format that mmexact reads, and what reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import torch

from mmexact.apis.class_map import ClassMap
from mmexact.datasets import (
    MTLCCDataset,
    PASTIS24Dataset,
    PASTISDataset,
    RasterSeriesDataset,
)
from mmexact.datasets.labels import read_ids, read_image_labels
from mmexact.datasets.pastis.pastis24 import _latest_window
from mmexact.datasets.rasters import cube
from mmexact.datasets.rasters.files import _open
from mmexact.datasets.weak_labels.files import read_labels
from mmexact.datasets.weak_labels.settings import LabelSettings
from mmexact.engine.checkpoint import load_weights
from mmexact.masks import read_manifest, read_mask, write_mask
from tests.cubes import make_cube, write_cube
from tests.data import write_pastis, write_pastis24, write_raster
from tests.mtlcc_data import write_mtlcc

Reader = Callable[[Path], object]


class Seed(NamedTuple):
    """A whole file, and what reads it, alone or in its folder."""

    path: Path
    root: Path
    reader: Reader


PIPELINE = [dict(type='LoadSITS'), dict(type='LoadSITSAnnotations'), dict(type='PackSITSInputs')]
CLASSES = ('Background', 'Meadow', 'Corn')
TIMES = ('2018-03-01', '2018-06-01')
MASK = np.arange(64).reshape(8, 8) % 19


def read_all(dataset) -> list[dict]:
    """Read every window of a dataset."""
    return [dataset[index] for index in range(len(dataset))]


def pastis(root: Path) -> object:
    return read_all(PASTISDataset(str(root), folds=(1,), window_size=8, pipeline=PIPELINE))


def pastis24(root: Path) -> object:
    _latest_window.cache_clear()
    return read_all(PASTIS24Dataset(str(root), folds=(1,), pipeline=PIPELINE))


def mtlcc(folder: str) -> Reader:
    """Read the tiles of a folder, with an index."""

    def read(root: Path) -> object:
        settings = dict(split='train_fold0', index_file=str(root / 'index.pickle'))
        return read_all(MTLCCDataset(str(root / folder), pipeline=PIPELINE, **settings))

    return read


def series(found: str, **settings) -> Reader:
    """Read a series of rasters, or a cube."""

    def read(root: Path) -> object:
        _open.cache_clear()
        cube._open_in.cache_clear()
        area = RasterSeriesDataset(
            data_root=str(root),
            series=dict(a=dict(rasters=found)),
            window_size=None,
            metainfo=dict(classes=CLASSES),
            pipeline=PIPELINE[:1],
            test_mode=True,
            **settings,
        )
        return read_all(area)

    return read


def places(path: Path) -> object:
    """Read labels that have a place."""
    return read_labels(LabelSettings(str(path), 'crop', date_column='date'))


def checkpoint(path: Path) -> object:
    """Load all weights."""
    return load_weights(torch.nn.Linear(4, 4), path)


def count(path: Path) -> object:
    """Count the pixels of a map."""
    return ClassMap(str(path)).count()


def write_seeds(folder: Path) -> dict[str, Seed]:
    """Write one file of each format into a folder; returns them by name."""
    seeds: dict[str, Seed] = {}
    tree = write_pastis(folder / 'pastis', {7: MASK}, bands=3)
    for name, inside in {
        'PASTIS metadata': 'metadata.geojson',
        'PASTIS statistics': 'NORM_S2_patch.json',
        'PASTIS series': 'DATA_S2/S2_7.npy',
        'PASTIS mask': 'ANNOTATIONS/TARGET_7.npy',
    }.items():
        seeds[name] = Seed(tree / inside, tree, pastis)
    tree = write_pastis24(folder / 'pastis24', {'7_0': MASK.astype(np.uint8)}, {1: ['7_0']})
    seeds['PASTIS24 list'] = Seed(tree / 'fold-paths/fold_1_paths.csv', tree, pastis24)
    seeds['PASTIS24 pickle'] = Seed(tree / 'pickle24x24/7_0.pickle', tree, pastis24)
    tree = write_mtlcc(folder / 'mtlcc', {'5': MASK}, {'train_fold0': ['5']})
    for name, form, inside in (
        ('MTLCC list', '240', '240/tileids/train_fold0.tileids'),
        ('MTLCC TFRecord', '240', '240/data16/5.tfrecord.gz'),
        ('MTLCC pickle', '240pkl', '240pkl/data16/5.pickle'),
        ('MTLCC index', '240pkl', 'index.pickle'),
    ):
        seeds[name] = Seed(tree / inside, tree, mtlcc(form))
    seeds |= _write_rasters(folder / 'rasters') | _write_places(folder / 'places')
    return seeds | _write_small_files(folder / 'alone')


def _write_rasters(folder: Path) -> dict[str, Seed]:
    values = np.arange(256, dtype=np.int16).reshape(2, 2, 8, 8)
    for form in ('tif', 'vrt', 'dates', 'nc', 'zarr'):
        for time, bands in zip(TIMES, values, strict=True):
            write_raster(folder / form / f'{time.replace("-", "")}.tif', bands)
    bands = ('B02', 'B03')
    for name in ('nc/a.nc', 'zarr/a.zarr'):
        write_cube(folder / name, make_cube(values, bands, TIMES))
    source = '<SourceFilename relativeToVRT="1">20180301.tif</SourceFilename>'
    (folder / 'vrt/20180301.vrt').write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32633</SRS>'
        '<GeoTransform>5e5,10,0,6e6,0,-10</GeoTransform><VRTRasterBand dataType="Int16" band="1">'
        f'<SimpleSource>{source}<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
        '</VRTDataset>'
    )
    listed = '\n'.join(f'{time.replace("-", "")}.tif,{time}' for time in TIMES)
    (folder / 'dates/dates.csv').write_text(f'file,date\n{listed}\n')
    write_raster(folder / 'map.tif', MASK[None].astype(np.uint8))
    group = folder / 'zarr/a.zarr'
    of_group, of_array = (
        next(one for one in place.glob('*') if one.name in ('zarr.json', '.zgroup', '.zarray'))
        for place in (group, group / 'reflectance')
    )
    chunk = next(one for one in (group / 'reflectance').rglob('*0') if one.is_file())
    dated = dict(search=dict(dates_file='dates.csv'))
    return {
        'GeoTIFF': Seed(folder / 'tif/20180301.tif', folder / 'tif', series('*.tif')),
        'VRT': Seed(folder / 'vrt/20180301.vrt', folder / 'vrt', series('*.vrt')),
        'dates': Seed(folder / 'dates/dates.csv', folder / 'dates', series('*.tif', **dated)),
        'NetCDF': Seed(folder / 'nc/a.nc', folder / 'nc', series('a.nc')),
        'Zarr group': Seed(of_group, folder / 'zarr', series('a.zarr')),
        'Zarr array': Seed(of_array, folder / 'zarr', series('a.zarr')),
        'Zarr chunk': Seed(chunk, folder / 'zarr', series('a.zarr')),
        'map': Seed(folder / 'map.tif', folder / 'map.tif', count),
    }


def _write_places(folder: Path) -> dict[str, Seed]:
    folder.mkdir()
    where = geopandas.points_from_xy([14.5, 14.6], [46.1, 46.2])
    squares = geopandas.GeoDataFrame(
        dict(crop=['Meadow', 'Corn'], date=['2018-04-01', '2018']),
        geometry=where.buffer(0.01),
        crs='EPSG:4326',
    )
    for name in ('a.geojson', 'a.gpkg', 'a.shp', 'a.fgb'):
        squares.to_file(folder / name)
    squares.to_parquet(folder / 'a.parquet')
    points = 'longitude,latitude,crop,date\n14.5,46.1,Meadow,2018\n"14,6",46.2,Corn,\n'
    (folder / 'a.csv').write_text(points)
    shapefile = {
        f'Shapefile {end}': Seed(folder / f'a.{end}', folder / 'a.shp', places)
        for end in ('shp', 'dbf', 'shx', 'prj')
    }
    names = ('a.geojson', 'a.gpkg', 'a.fgb', 'a.parquet', 'a.csv')
    return shapefile | {name: Seed(folder / name, folder / name, places) for name in names}


def _write_small_files(folder: Path) -> dict[str, Seed]:
    folder.mkdir()
    (folder / 'labels.csv').write_text('sample_id,classes\na_0,Meadow;Corn\na_1,\n')
    (folder / 'ids.txt').write_text('a_0\na_1\n')
    write_mask(folder / 'mask.png', np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)
    (folder / 'manifest.json').write_text(
        '{"kind": "maps", "inputs": {"x": 1}, "files": ["a.tif"]}'
    )
    meta = dict(trained_on=dict(classes=list(CLASSES)))
    weights = torch.nn.Linear(4, 4).state_dict()
    torch.save(dict(state_dict=weights, meta=meta), folder / 'model.pth')
    torch.save(weights, folder / 'old.pth', _use_new_zipfile_serialization=False)
    readers: dict[str, Reader] = {
        'labels.csv': lambda path: read_image_labels(str(path), CLASSES),
        'ids.txt': lambda path: read_ids(str(path)),
        'mask.png': lambda path: read_mask(path, (8, 8), 3),
        'model.pth': checkpoint,
        'old.pth': checkpoint,
    }
    seeds = {name: Seed(folder / name, folder / name, one) for name, one in readers.items()}
    manifest = folder / 'manifest.json'
    return seeds | {'manifest': Seed(manifest, folder, lambda path: read_manifest(path, 'maps'))}
