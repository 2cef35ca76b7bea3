"""Writers of STAC items and the rasters that they lead to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping

from tests.data import CORNER, write_raster

EXTENSIONS = [
    f'https://stac-extensions.github.io/{name}/schema.json'
    for name in ('projection/v2.0.0', 'eo/v1.1.0', 'raster/v1.1.0')
]


def write_asset(path: Path, values: np.ndarray, name: str, **settings) -> dict:
    """Write a raster of one band; returns its asset, with a relative path."""
    write_raster(path, values[None], **settings)
    with rasterio.open(path) as raster:
        shape, transform = list(raster.shape), list(raster.transform)[:6]
        code = raster.crs.to_string()
    return {
        'href': f'./{path.parent.name}/{path.name}',
        'type': 'image/tiff; application=geotiff',
        'roles': ['data'],
        'proj:shape': shape,
        'proj:transform': transform,
        'proj:code': code,
        'eo:bands': [dict(name=name)],
    }


def make_item(name: str, when: str, assets: Mapping[str, dict]) -> dict:
    """Make an item; its footprint is that of its first asset."""
    first = next(iter(assets.values()))
    (height, width), transform = first['proj:shape'], rasterio.Affine(*first['proj:transform'])
    (left, top), (right, bottom) = transform @ (0, 0), transform @ (width, height)
    bounds = transform_bounds(first['proj:code'], 'EPSG:4326', left, bottom, right, top)
    return {
        'type': 'Feature',
        'stac_version': '1.0.0',
        'stac_extensions': EXTENSIONS,
        'id': name,
        'geometry': mapping(box(*bounds)),
        'bbox': list(bounds),
        'properties': dict(datetime=when),
        'links': [
            dict(rel='self', href=f'https://stac.invalid/items/{name}'),
            dict(rel='collection', href='https://stac.invalid/collection'),
        ],
        'collection': 'scenes',
        'assets': dict(assets),
    }


def tile(
    root: Path,
    name: str,
    when: str,
    bands: Mapping[str, np.ndarray],
    column: int = 0,
    row: int = 0,
    **settings,
) -> dict:
    """Write an item on the grid of the fake rasters, beginning at a column and row of it."""
    settings = dict(transform=CORNER @ CORNER.translation(column, row), nodata=0) | settings
    assets = {
        band: write_asset(root / f'files/{name}_{band}.tif', values, band, **settings)
        for band, values in bands.items()
    }
    return make_item(name, when, assets)


def write_items(root: Path, items: Sequence[dict]) -> str:
    """Write an item collection; returns its name."""
    content = dict(type='FeatureCollection', features=list(items))
    (root / 'items.json').write_text(json.dumps(content))
    return 'items.json'
