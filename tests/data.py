"""Writers of tiny data sets in the real on-disk formats.

Every value tells where it belongs, so that a transposed or shifted axis is caught: see
:func:`position_code`.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

DATES = (20180917, 20181231, 20190101, 20190702, 20191028)
"""Dates of all fake series."""

DAYS = (260, 365, 1, 183, 301)
"""Their days of year, from a calendar."""

SIZE = (10, 13)
"""Height and width of a fake patch: two by three windows of 4 x 4, and a rest on both sides."""


def position_code(dates: int, bands: int, height: int, width: int) -> np.ndarray:
    """Number all values of a (dates, bands, height, width) int16 array from 0 on."""
    return np.arange(dates * bands * height * width, dtype=np.int16).reshape(
        dates, bands, height, width
    )


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_pastis(
    root: Path,
    masks: dict[int, np.ndarray],
    folds: dict[int, int] | None = None,
    bands: int = 3,
    dates_as_text: bool = False,
) -> Path:
    """Write a PASTIS tree: patch id -> (H, W) mask of PASTIS labels; patch n adds n to the code.

    Args:
        root: Where to.
        masks: The masks by patch id.
        folds: Fold by patch id; 1 where not given.
        bands: Number of bands.
        dates_as_text: Store dates-S2 as the text of a JSON object, as GDAL does on rewriting.
    """
    for folder in ('DATA_S2', 'ANNOTATIONS'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    features = []
    for patch, mask in masks.items():
        series = position_code(len(DATES), bands, *mask.shape) + np.int16(patch)
        np.save(root / 'DATA_S2' / f'S2_{patch}.npy', series)
        planes = np.stack([mask, np.full_like(mask, 77), np.full_like(mask, 78)]).astype(np.uint8)
        np.save(root / 'ANNOTATIONS' / f'TARGET_{patch}.npy', planes)
        dates = {str(index): date for index, date in enumerate(DATES)}
        properties = {
            'ID_PATCH': patch,
            'Fold': (folds or {}).get(patch, 1),
            'dates-S2': json.dumps(dates) if dates_as_text else dates,
        }
        features.append({'type': 'Feature', 'properties': properties, 'geometry': None})
    write_json(root / 'metadata.geojson', {'type': 'FeatureCollection', 'features': features})
    norm = {
        f'Fold_{fold}': {
            'mean': [fold + 10.0 * band for band in range(bands)],
            'std': [fold] * bands,
        }
        for fold in range(1, 6)
    }
    write_json(root / 'NORM_S2_patch.json', norm)
    return root


def write_pastis24(
    root: Path, windows: dict[str, np.ndarray], folds: dict[int, list[str]], protocol: int = 4
) -> Path:
    """Write a PASTIS24 tree.

    Args:
        root: Where to.
        windows: Mask of PASTIS labels, (h, w) or (planes, h, w), by '<patch>_<window>'; window n of
            a tree adds n to the code of its series.
        folds: Windows by fold.
        protocol: Of the pickles.
    """
    (root / 'pickle24x24').mkdir(parents=True, exist_ok=True)
    (root / 'fold-paths').mkdir(exist_ok=True)
    for number, (name, labels) in enumerate(windows.items()):
        series = position_code(len(DAYS), 3, *labels.shape[-2:]) + np.int16(number)
        content = {'img': series, 'labels': labels, 'doy': np.array(DAYS)}
        with open(root / 'pickle24x24' / f'{name}.pickle', 'wb') as file:
            pickle.dump(content, file, protocol=protocol)
    for fold, names in folds.items():
        lines = [f'pickle24x24/{name}.pickle\n' for name in names]
        (root / 'fold-paths' / f'fold_{fold}_paths.csv').write_text(''.join(lines))
    return root


CORNER = Affine(10, 0, 500000, 0, -10, 5100000)
"""Grid of the fake rasters: 10 m, top left corner in UTM."""


def write_raster(
    path: Path,
    values: np.ndarray,
    transform: Affine = CORNER,
    crs: str | None = 'EPSG:32633',
    nodata: float | None = None,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a (bands, H, W) array as GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        count=bands,
        height=height,
        width=width,
        dtype=values.dtype,
        transform=transform,
        crs=crs,
        nodata=nodata,
    ) as raster:
        raster.write(values)
        raster.update_tags(**(tags or {}))
    return path
