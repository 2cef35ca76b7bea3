"""A seeded writer of synthetic data in the on-disk formats of MTLCC.

The tree is what the download looks like beside the pickles that TSViT's users make from it
(240/data16, 240/tileids; 240pkl/data16), with the land and the seasons of the synthetic PASTIS.
"""

import gzip
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
from einops import reduce
from tfrecord import TFRecordWriter

from mmexact.datasets.mtlcc.tiles import BANDS, PICKLE, TFRECORD
from mmexact.datasets.synthetic.calendars import CROPS, SEASON_START, season_day
from mmexact.datasets.synthetic.land import draw_land
from mmexact.datasets.synthetic.pastis_tree import favoured_crops
from mmexact.datasets.synthetic.phenology import BANDS as DRAWN
from mmexact.datasets.synthetic.series import Region, draw_series

CODES = {
    'Meadow': 3,
    'Soft winter wheat': 22,
    'Corn': 26,
    'Winter barley': 23,
    'Winter rapeseed': 5,
    'Spring barley': 25,
    'Beet': 1,
    'Winter triticale': 12,
    'Potatoes': 16,
    'Soybeans': 17,
}
"""Code of MTLCC by crop of PASTIS; all other land is unknown, 0."""

NUM_CROPS = 1 + max(index for index, crop in enumerate(CROPS) if crop.name in CODES)
SIDE, TILES_PER_SIDE = 24, 5
SPLITS = ('train_fold0', 'train_fold0', 'train_fold0', 'test_fold0', 'eval')
"""Split of the tiles of a patch, patches in turn."""
PADDING = 2
REGION = Region(4.0, (1.0, 0.2, 0.3, 0.2))


def draw_days(rng: np.random.Generator, count: int) -> np.ndarray:
    """Choose acquisitions between January and October, one from each of `count` equal stretches.

    Returns:
        (count,) int, days since 1 September of the year before, rising.
    """
    first, last = season_day(1, 3, 2019), season_day(10, 20, 2019)
    return (first + (np.arange(count) + rng.uniform(0, 1, count)) * (last - first) / count).astype(
        int
    )


def to_resolutions(series: np.ndarray) -> dict[str, np.ndarray]:
    """Sort the ten drawn bands (T, 10, h, w) into the arrays of MTLCC, (T, h', w', bands) int64.

    Bands of 20 and 60 m are averages. Of the three bands that are not drawn, B1 is made from B2, B9
    from B8A, most of whose light water vapour takes, and B10, which sees high clouds only, is dark.
    """
    drawn = dict(zip(DRAWN, np.moveaxis(series.astype(np.float64), 1, 0), strict=True))
    drawn |= {'B1': 1.1 * drawn['B2'], 'B9': 0.4 * drawn['B8A'], 'B10': 0.01 * drawn['B2']}
    arrays = {}
    for name, bands in BANDS.items():
        values = np.stack([drawn[band] for band in bands])
        step = int(name[1:]) // 10
        values = reduce(values, 'c t (h p) (w q) -> t h w c', 'mean', p=step, q=step)
        arrays[name] = np.rint(values).astype(np.int64)
    return arrays


def write_tfrecord(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Write a tile as the download has it: int64, padded with dates of day 0.

    Args:
        path: The file, '<tile>.tfrecord.gz'.
        arrays: ``x10``, ``x20``, ``x60`` (T, h, w, bands), ``labels`` (T, h, w), ``day`` and
            ``year`` (T,).
    """
    features: dict[str, tuple] = {}
    for name, array in arrays.items():
        content = np.pad(array, [(0, PADDING)] + [(0, 0)] * (array.ndim - 1)).astype('<i8')
        data = {'day': 'dates/doy', 'year': 'dates/year'}.get(name, f'{name}/data')
        shape = 'dates/shape' if data.startswith('dates') else f'{name}/shape'
        features |= {data: (content.tobytes(), 'byte'), shape: (list(content.shape), 'int')}
    record = TFRecordWriter.serialize_tf_example(features)
    length = struct.pack('<Q', len(record))
    parts = (length, TFRecordWriter.masked_crc(length), record, TFRecordWriter.masked_crc(record))
    Path(path).write_bytes(gzip.compress(b''.join(parts), compresslevel=1, mtime=0))


def write_pickle(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Write a tile as TSViT's conversion does; arguments of :func:`write_tfrecord`."""
    content = {
        name: array.astype(np.int8 if name == 'labels' else np.int16)
        for name, array in arrays.items()
    }
    with open(path, 'wb') as file:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)


def write_mtlcc_tree(
    root: str | os.PathLike[str],
    num_patches: int = 10,
    num_dates: tuple[int, int] = (16, 22),
    difficulty: float = 0.8,
    seed: int = 0,
    track: Callable[[range], Iterable[int]] = iter,
) -> None:
    """Write a synthetic MTLCC tree of 2016 in both formats, whole or not at all.

    A patch of 120 x 120 pixels gives 25 tiles; of each five patches three are for training
    (``train_fold0``), one for ``test_fold0`` and one for ``eval``.

    Args:
        root: Directory to write, with ``240`` (TFRecords) and ``240pkl`` (pickles) in it. It must
            not exist, or be empty.
        num_patches: Number of patches.
        num_dates: Fewest and most acquisitions of a patch.
        difficulty: 0 (clear, uniform fields) to 3.
        seed: Seed of everything random.
        track: Wraps the range of patches, for instance mmengine's `track_iter_progress`.

    Raises:
        ValueError: An argument is outside its range.
        FileExistsError: `root` holds something.
    """
    low, high = num_dates
    if num_patches < 1 or not 1 <= low <= high <= 60 or not 0 <= difficulty <= 3:
        raise ValueError(
            f'num_patches={num_patches}, num_dates=({low}, {high}), difficulty={difficulty}; '
            f'expected at least 1 patch, 1 <= fewest <= most <= 60 dates, and 0 to 3'
        )
    root = Path(root).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f'{root} exists and is left alone; choose another directory')
    partial = root.with_name(f'.{root.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for folder in ('240/data16', '240/tileids', '240pkl/data16'):
            (partial / folder).mkdir(parents=True)
        tiles: dict[str, list[int]] = {split: [] for split in dict.fromkeys(SPLITS)}
        for index in track(range(num_patches)):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, index)))
            dates = int(rng.integers(low, high + 1))
            numbers = _write_patch(partial, rng, index, dates, seed, difficulty)
            tiles[SPLITS[index % len(SPLITS)]] += numbers
        _write_splits(partial, tiles)
        if root.exists():
            root.rmdir()
        partial.rename(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_patch(
    root: Path, rng: np.random.Generator, index: int, dates: int, seed: int, difficulty: float
) -> list[int]:
    """Write the tiles of one patch; return their numbers."""
    land = draw_land(rng, NUM_CROPS, favoured_crops(seed, NUM_CROPS, index), 1)
    days = draw_days(rng, dates)
    series = draw_series(rng, land, REGION, days, difficulty)
    code_of_label = np.zeros(256, np.uint8)
    for label, crop in enumerate(CROPS, 1):
        code_of_label[label] = CODES.get(crop.name, 0)
    codes = code_of_label[land.labels] * (land.labels <= NUM_CROPS)
    calendar = [SEASON_START + timedelta(days=int(day)) for day in days]
    dated = {
        'day': np.array([day.timetuple().tm_yday for day in calendar]),
        'year': np.full(dates, 2017),  # as all TFRecords of the download say, data16 included
    }
    numbers = []
    for place in range(TILES_PER_SIDE**2):
        row, column = (SIDE * at for at in divmod(place, TILES_PER_SIDE))
        window = np.s_[..., row : row + SIDE, column : column + SIDE]
        labels = np.repeat(codes[window][None], dates, axis=0)
        arrays = dict(**to_resolutions(series[window]), labels=labels, **dated)
        number = TILES_PER_SIDE**2 * index + place + 1
        write_tfrecord(root / '240/data16' / f'{number}{TFRECORD}', arrays)
        write_pickle(root / '240pkl/data16' / f'{number}{PICKLE}', arrays)
        numbers.append(number)
    return numbers


def _write_splits(root: Path, tiles: dict[str, list[int]]) -> None:
    for split, numbers in tiles.items():
        lines = ''.join(f'{number}\n' for number in numbers)
        (root / '240/tileids' / f'{split}.tileids').write_text(lines)
        if split != 'test_fold0':  # the conversion lists two splits, by path
            folder = 'data_IJGI18/datasets/full/240pkl/data16'
            paths = ''.join(f'{folder}/{number}{PICKLE}\n' for number in numbers)
            (root / '240pkl' / f'{split.removesuffix("_fold0")}_paths.csv').write_text(paths)
