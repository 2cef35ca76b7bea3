"""A seeded writer of synthetic data in the on-disk format of PASTIS.

The tree is what an unpacked PASTIS download looks like (Sainte Fare Garnot and Landrieu,
"Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention
Networks", ICCV 2021), so that whatever reads one reads the other.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np

from mmexact.datasets.numpy_files import save_array
from mmexact.datasets.synthetic.calendars import SEASON_START, season_day
from mmexact.datasets.synthetic.land import SIZE, VOID, draw_land
from mmexact.datasets.synthetic.options import FOLDS, TreeOptions
from mmexact.datasets.synthetic.phenology import BANDS
from mmexact.datasets.synthetic.series import Region, draw_series
from mmexact.masks import ResumableFolder

FIRST_PATCH = 10000
METADATA, STATISTICS = 'metadata.geojson', 'NORM_S2_patch.json'
# Tiles of PASTIS, with the corner of a grid of patches in EPSG:2154 (metres).
TILES = {
    't30uxv': ((430_000, 6_870_000), Region(2.0, (1.0, 0.0, 0.2, 0.5))),
    't31tfm': ((800_000, 6_690_000), Region(0.0, (1.0, 0.3, 0.5, 0.1))),
    't31tfj': ((830_000, 6_370_000), Region(-6.0, (0.6, 0.8, 0.5, 0.0))),
    't32ulu': ((1_030_000, 6_830_000), Region(4.0, (1.0, 0.2, 0.0, 0.4))),
}
REVISIT = 5
LAST_DAY = season_day('2019-10-20')
MOST_DATES = (LAST_DAY - 14) // REVISIT
DEFAULTS = TreeOptions(num_patches=40, num_crops=8, num_dates=(20, 26), most_dates=MOST_DATES)


def draw_dates(rng: np.random.Generator, count: int) -> np.ndarray:
    """Choose days since 1 September 2018 from a five-day revisit grid, fewer in winter, rising.

    The season is cut into `count` stretches of equal expected use and one day taken from each:
    gaps are irregular, but no part of the season stays unseen.
    """
    grid = np.arange(10 + int(rng.integers(0, REVISIT)), LAST_DAY, REVISIT)
    use = 1 - 0.55 * np.exp(-0.5 * ((grid - season_day('2019-01-05')) / 40) ** 2)
    places = np.interp(
        (np.arange(count) + rng.uniform(0, 1, count)) / count,
        np.cumsum(use) / use.sum(),
        np.arange(len(grid)),
    )
    # two stretches may meet on one grid day: push apart, forwards and then backwards
    chosen = np.rint(places).astype(int)
    order = np.arange(count)
    chosen = np.maximum.accumulate(chosen - order) + order
    last = len(grid) - count + order
    return grid[np.minimum(chosen, last)]


def patch_files(patch: int) -> tuple[str, str, str]:
    """Name the files of a patch: series, labels, parcels."""
    labels, parcels = f'TARGET_{patch}.npy', f'ParcelIDs_{patch}.npy'
    return f'DATA_S2/S2_{patch}.npy', f'ANNOTATIONS/{labels}', f'ANNOTATIONS/{parcels}'


def _write_patch(
    folder: ResumableFolder, index: int, options: TreeOptions
) -> tuple[dict[str, Any], np.ndarray]:
    """Write the arrays of one patch, unless they are there.

    Returns:
        Its GeoJSON feature and its (2, 10) means of values and squares.
    """
    rng = options.generator(0, index)
    tile = list(TILES)[index // FOLDS % len(TILES)]
    (left, bottom), region = TILES[tile]
    days = draw_dates(rng, options.draw_count(rng))
    favoured, first_parcel_id = options.favoured_crops(index), 1 + 1000 * index
    land = draw_land(rng, options.num_crops, favoured, first_parcel_id, options.fallow)
    patch = FIRST_PATCH + index
    names = patch_files(patch)
    if folder.has(*names):
        series = np.load(folder.path / names[0])
    else:
        series = draw_series(rng, land, region, days, options.difficulty)
        # PASTIS readers use plane 0; planes 1 and 2 have no documented use and are left empty
        target = np.zeros((3, SIZE, SIZE), np.uint8)
        target[0] = land.labels
        for name, array in zip(names, (series, target, land.parcel_ids), strict=True):
            save_array(folder.path / name, array)
    side = SIZE * 10
    west, south = left + 2 * side * (index % 50), bottom + 2 * side * (index // 50)
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    calendar = [SEASON_START + timedelta(days=int(day)) for day in days]
    is_parcel = (land.labels > 0) & (land.labels != VOID)
    feature = {
        'type': 'Feature',
        'id': str(patch),
        'properties': {
            'ID_PATCH': patch,
            'TILE': tile,
            'Fold': index % FOLDS + 1,
            'N_Parcel': len(np.unique(land.parcel_ids[is_parcel])),
            'Parcel_Cover': round(float(is_parcel.mean()), 6),
            'dates-S2': {str(i): int(day.strftime('%Y%m%d')) for i, day in enumerate(calendar)},
        },
        'geometry': {'type': 'Polygon', 'coordinates': [ring]},
    }
    values = series.astype(np.float64)
    sums = np.stack([values.mean((0, 2, 3)), (values**2).mean((0, 2, 3))])
    return feature, sums


def write_pastis_tree(
    root: str | os.PathLike[str],
    overwrite: bool = False,
    track: Callable[[range], Iterable[int]] = iter,
    **options: Any,
) -> bool:
    """Write a synthetic PASTIS tree; an interrupted run goes on.

    Patches of 128 x 128 pixels of 10 m go to folds 1..5 in turn.

    Args:
        root: Directory to write: new, empty, or a tree of this writer with the same options.
        overwrite: Replace a tree that this writer made before.
        track: Wraps the range of patches, for instance mmengine's `track_iter_progress`.
        **options: Those of :class:`TreeOptions` that differ from :data:`DEFAULTS`.

    Returns:
        True when the tree was written, False when the same tree was there already.

    Raises:
        ValueError: An option is outside its range.
        FileExistsError: `root` holds something else.
    """
    chosen = replace(DEFAULTS, **options)
    arrays = [name for i in range(chosen.num_patches) for name in patch_files(FIRST_PATCH + i)]
    files, kind = [*arrays, STATISTICS, METADATA], 'synthetic PASTIS'
    folder = ResumableFolder(root, kind, asdict(chosen), files, overwrite=overwrite, alone=True)
    if folder.manifest['complete']:
        return False
    patches = [_write_patch(folder, i, chosen) for i in track(range(chosen.num_patches))]
    collection = {
        'type': 'FeatureCollection',
        'name': 'metadata',
        'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::2154'}},
        'features': [feature for feature, _ in patches],
    }
    statistics = _fold_statistics(np.stack([moments for _, moments in patches]))
    with folder.writing(STATISTICS) as path:
        path.write_text(json.dumps(statistics, indent=1) + '\n')
    with folder.writing(METADATA) as path:
        path.write_text(json.dumps(collection) + '\n')
    folder.finish()
    return True


def _fold_statistics(moments: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard deviation of the bands per fold, (P, 2, 10) moments given.

    A fold without patches gets the figures of all patches, so that readers of few patches work.
    """
    assert moments.shape[1:] == (2, len(BANDS))
    statistics = {}
    for fold in range(FOLDS):
        mean, square = (moments[fold::FOLDS] if fold < len(moments) else moments).mean(axis=0)
        deviation = np.sqrt(square - mean**2)
        statistics[f'Fold_{fold + 1}'] = {'mean': mean.tolist(), 'std': deviation.tolist()}
    return statistics
