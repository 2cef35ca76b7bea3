"""A seeded writer of synthetic data in the on-disk format of PASTIS.

The tree is what an unpacked PASTIS download looks like (Sainte Fare Garnot and Landrieu,
"Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention
Networks", ICCV 2021), so that whatever reads one reads the other.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mmexact.datasets.synthetic.calendars import CROPS, SEASON_START, season_day
from mmexact.datasets.synthetic.land import SIZE, VOID, draw_land
from mmexact.datasets.synthetic.phenology import BANDS
from mmexact.datasets.synthetic.series import Region, draw_series

FORMAT_VERSION = 1
MANIFEST = 'synthetic.json'
FIRST_PATCH = 10000
FOLDS = 5
# Tiles of PASTIS, with the corner of a grid of patches in EPSG:2154 (metres).
TILES = {
    't30uxv': ((430_000, 6_870_000), Region(2.0, (1.0, 0.0, 0.2, 0.5))),
    't31tfm': ((800_000, 6_690_000), Region(0.0, (1.0, 0.3, 0.5, 0.1))),
    't31tfj': ((830_000, 6_370_000), Region(-6.0, (0.6, 0.8, 0.5, 0.0))),
    't32ulu': ((1_030_000, 6_830_000), Region(4.0, (1.0, 0.2, 0.0, 0.4))),
}
REVISIT = 5
LAST_DAY = season_day(10, 20, 2019)
MOST_DATES = (LAST_DAY - 14) // REVISIT


def draw_dates(rng: np.random.Generator, count: int) -> np.ndarray:
    """Choose acquisition days from a five-day revisit grid, fewer in winter.

    The season is cut into `count` stretches of equal expected use and one day taken from each:
    gaps are irregular, but no part of the season stays unseen.

    Returns:
        (count,) int, days since 1 September 2018, rising.
    """
    grid = np.arange(10 + int(rng.integers(0, REVISIT)), LAST_DAY, REVISIT)
    use = 1 - 0.55 * np.exp(-0.5 * ((grid - season_day(1, 5)) / 40) ** 2)
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


def favoured_crops(seed: int, num_crops: int, index: int) -> tuple[int, ...]:
    """Two crops that are typical of a patch, so that every fold meets every crop early on."""
    fold, turn = index % FOLDS, index // FOLDS
    turns = math.ceil(num_crops / 2)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, fold, turn // turns)))
    order = rng.permutation(num_crops)
    begin = 2 * (turn % turns)
    return tuple(int(crop) for crop in order[begin : begin + 2])


def _write_patch(root: Path, index: int, arguments: dict[str, Any]) -> tuple[dict, np.ndarray]:
    """Write one patch; return its GeoJSON feature and its (2, 10) sums of values and squares."""
    seed, difficulty = arguments['seed'], arguments['difficulty']
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, index)))
    tile = list(TILES)[index // FOLDS % len(TILES)]
    (left, bottom), region = TILES[tile]
    low, high = arguments['num_dates']
    days = draw_dates(rng, int(rng.integers(low, high + 1)))
    crops = arguments['num_crops']
    land = draw_land(rng, crops, favoured_crops(seed, crops, index), 1 + 1000 * index)
    series = draw_series(rng, land, region, days, difficulty)

    patch = FIRST_PATCH + index
    np.save(root / 'DATA_S2' / f'S2_{patch}.npy', series)
    # PASTIS readers use plane 0; planes 1 and 2 have no documented use and are left empty
    target = np.zeros((3, SIZE, SIZE), np.uint8)
    target[0] = land.labels
    np.save(root / 'ANNOTATIONS' / f'TARGET_{patch}.npy', target)
    np.save(root / 'ANNOTATIONS' / f'ParcelIDs_{patch}.npy', land.parcel_ids)

    side = SIZE * 10
    west = left + 2 * side * (index % 50)
    south = bottom + 2 * side * (index // 50)
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


def _check(arguments: dict[str, Any]) -> None:
    low, high = arguments['num_dates']
    if arguments['num_patches'] < 1:
        raise ValueError(f'num_patches={arguments["num_patches"]}; expected at least 1')
    if not 2 <= arguments['num_crops'] <= len(CROPS):
        raise ValueError(f'num_crops={arguments["num_crops"]}; expected 2 to {len(CROPS)}')
    if not 1 <= low <= high <= MOST_DATES:
        raise ValueError(
            f'num_dates=({low}, {high}); expected 1 <= fewest <= most <= {MOST_DATES}, the '
            f'acquisitions that a revisit of {REVISIT} days leaves in one season'
        )
    if not 0 <= arguments['difficulty'] <= 3:
        raise ValueError(f'difficulty={arguments["difficulty"]}; expected 0 to 3')
    if arguments['seed'] < 0:
        raise ValueError(f'seed={arguments["seed"]}; expected 0 or more')


def _is_there(root: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Tell whether this very tree exists; refuse a place that holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not (root / MANIFEST).is_file():
        raise FileExistsError(
            f'{root} exists and holds no {MANIFEST}, so it was not written by this tool and is '
            f'left alone; choose another directory'
        )
    found = json.loads((root / MANIFEST).read_text())
    if found == manifest:
        return not overwrite
    if overwrite:
        return False
    keys = sorted(k for k in {*found, *manifest} if found.get(k) != manifest.get(k))
    differences = ', '.join(f'{k} {found.get(k)} (asked for {manifest.get(k)})' for k in keys)
    raise FileExistsError(
        f'{root} was written with other arguments: {differences}; choose another directory or '
        f'overwrite it'
    )


def write_pastis_tree(
    root: str | os.PathLike[str],
    num_patches: int = 40,
    num_crops: int = 8,
    num_dates: tuple[int, int] = (20, 26),
    difficulty: float = 0.8,
    seed: int = 0,
    overwrite: bool = False,
    track: Callable[[range], Iterable[int]] = iter,
) -> bool:
    """Write a synthetic PASTIS tree, whole or not at all.

    Patch i depends on the other arguments but not on `num_patches`; the same arguments give the
    same bytes. Patches of 128 x 128 pixels of 10 m go to folds 1..5 in turn.

    Args:
        root: Directory to write. It must not exist, be empty, or hold a tree of this writer.
        num_patches: Number of patches.
        num_crops: Number of crops K, 2..18; labels 1..K are the first K crops of PASTIS.
        num_dates: Fewest and most acquisitions of a patch.
        difficulty: 0 (clear, uniform fields) over 0.8 (the default) to 3; scales the noise, the
            shifts of the season, the likeness of leaves and the frequency of clouds.
        seed: Seed of everything random.
        overwrite: Replace a tree that this writer made before.
        track: Wraps the range of patches, for instance mmengine's `track_iter_progress`.

    Returns:
        True when the tree was written, False when the same tree was there already.

    Raises:
        ValueError: An argument is outside its range.
        FileExistsError: `root` holds something else.
    """
    arguments: dict[str, Any] = {
        'num_patches': num_patches,
        'num_crops': num_crops,
        'num_dates': list(num_dates),
        'difficulty': float(difficulty),
        'seed': seed,
    }
    _check(arguments)
    root = Path(root).absolute()
    manifest = {'format_version': FORMAT_VERSION, **arguments}
    if _is_there(root, manifest, overwrite):
        return False
    partial = root.with_name(f'.{root.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / 'DATA_S2').mkdir(parents=True)
        (partial / 'ANNOTATIONS').mkdir()
        features, sums = [], []
        for index in track(range(num_patches)):
            feature, moments = _write_patch(partial, index, arguments)
            features.append(feature)
            sums.append(moments)
        _write_metadata(partial, features)
        _write_statistics(partial, np.stack(sums))
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n')
        if root.exists():
            shutil.rmtree(root)
        partial.rename(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return True


def _write_metadata(root: Path, features: list[dict]) -> None:
    collection = {
        'type': 'FeatureCollection',
        'name': 'metadata',
        'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::2154'}},
        'features': features,
    }
    (root / 'metadata.geojson').write_text(json.dumps(collection) + '\n')


def _write_statistics(root: Path, moments: np.ndarray) -> None:
    """Write mean and standard deviation of the bands per fold, (P, 2, 10) moments given.

    A fold without patches gets the figures of all patches, so that readers of few patches work.
    """
    assert moments.shape[1:] == (2, len(BANDS))
    statistics = {}
    for fold in range(FOLDS):
        mean, square = (moments[fold::FOLDS] if fold < len(moments) else moments).mean(axis=0)
        statistics[f'Fold_{fold + 1}'] = {
            'mean': mean.tolist(),
            'std': np.sqrt(square - mean**2).tolist(),
        }
    (root / 'NORM_S2_patch.json').write_text(json.dumps(statistics, indent=1) + '\n')
