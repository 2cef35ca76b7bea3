"""A seeded writer of synthetic data in the on-disk formats of MTLCC.

The tree is what the download looks like beside the pickles that TSViT's users make from it
(240/data16, 240/tileids; 240pkl/data16), with the land and the seasons of the synthetic PASTIS.
"""

import gzip
import os
import pickle
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np
from einops import reduce

from mmexact.datasets.synthetic.calendars import CROPS, SEASON_START, season_day
from mmexact.datasets.synthetic.land import draw_land
from mmexact.datasets.synthetic.options import TreeOptions
from mmexact.datasets.synthetic.phenology import BANDS as DRAWN
from mmexact.datasets.synthetic.series import Region, draw_series
from mmexact.masks import ResumableFolder, whole_file

BANDS = {
    'x10': ('B4', 'B3', 'B2', 'B8'),
    'x20': ('B5', 'B6', 'B7', 'B8A', 'B11', 'B12'),
    'x60': ('B1', 'B9', 'B10'),
}
"""Bands of a tile by the name of their array."""

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
DEFAULTS = TreeOptions(num_patches=10, num_crops=NUM_CROPS, num_dates=(16, 22), most_dates=60)


def draw_days(rng: np.random.Generator, count: int) -> np.ndarray:
    """Choose acquisitions from January to October, one from each of `count` equal stretches.

    Days count from 1 September of the year before.
    """
    first, last = season_day('2019-01-03'), season_day('2019-10-20')
    places = (np.arange(count) + rng.uniform(0, 1, count)) * (last - first) / count
    return (first + places).astype(int)


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


def write_tfrecord(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """Write a tile as the download has it: int64, padded with dates of day 0.

    Args:
        path: The file, '<tile>.tfrecord.gz'.
        arrays: ``x10``, ``x20``, ``x60`` (T, h, w, bands), ``labels`` (T, h, w), ``day`` and
            ``year`` (T,).
    """
    try:
        from tfrecord import TFRecordWriter
    except ImportError as error:
        raise ImportError(
            f"TFRecords need the package tfrecord ({error}): pip install 'mmexact[mtlcc]'"
        ) from error
    features: dict[str, tuple[Any, ...]] = {}
    for name, array in arrays.items():
        content = np.pad(array, [(0, PADDING)] + [(0, 0)] * (array.ndim - 1)).astype('<i8')
        data = {'day': 'dates/doy', 'year': 'dates/year'}.get(name, f'{name}/data')
        shape = 'dates/shape' if data.startswith('dates') else f'{name}/shape'
        features |= {data: (content.tobytes(), 'byte'), shape: (list(content.shape), 'int')}
    record = TFRecordWriter.serialize_tf_example(features)
    length = struct.pack('<Q', len(record))
    parts = (length, TFRecordWriter.masked_crc(length), record, TFRecordWriter.masked_crc(record))
    with whole_file(path) as unfinished:
        unfinished.write_bytes(gzip.compress(b''.join(parts), compresslevel=1, mtime=0))


def write_pickle(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """Write a tile as TSViT's conversion does; arguments of :func:`write_tfrecord`."""
    content = {
        name: array.astype(np.int8 if name == 'labels' else np.int16)
        for name, array in arrays.items()
    }
    with whole_file(path) as unfinished, open(unfinished, 'wb') as file:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)


def write_mtlcc_tree(
    root: str | os.PathLike[str],
    overwrite: bool = False,
    track: Callable[[range], Iterable[int]] = iter,
    **options: Any,
) -> bool:
    """Write a synthetic MTLCC tree of 2016, in ``240`` (TFRecords) and ``240pkl`` (pickles).

    A patch of 120 x 120 pixels gives 25 tiles; of each five patches three are for training
    (``train_fold0``), one for ``test_fold0`` and one for ``eval``. Arguments, returned value and
    errors are those of :func:`~mmexact.datasets.synthetic.pastis_tree.write_pastis_tree`.
    """
    chosen = replace(DEFAULTS, **options)
    tiles = range(1, chosen.num_patches * TILES_PER_SIDE**2 + 1)
    lists = _split_lists(tiles)
    files = [*lists, *(name for tile in tiles for name in tile_files(tile))]
    kind = 'synthetic MTLCC'
    folder = ResumableFolder(root, kind, asdict(chosen), files, overwrite=overwrite, alone=True)
    if folder.manifest['complete']:
        return False
    for index in track(range(chosen.num_patches)):
        _write_patch(folder, index, chosen)
    for name, lines in lists.items():
        with folder.writing(name) as path:
            path.write_text(''.join(f'{line}\n' for line in lines))
    folder.finish()
    return True


def tile_files(tile: int) -> tuple[str, str]:
    """Name the files of a tile: the TFRecord and the pickle."""
    return f'240/data16/{tile}.tfrecord.gz', f'240pkl/data16/{tile}.pickle'


def _write_patch(folder: ResumableFolder, index: int, options: TreeOptions) -> None:
    """Write the tiles of one patch, unless they are there."""
    first = TILES_PER_SIDE**2 * index + 1
    tiles = {first + place: divmod(place, TILES_PER_SIDE) for place in range(TILES_PER_SIDE**2)}
    if folder.has(*(name for tile in tiles for name in tile_files(tile))):
        return
    rng = options.generator(2, index)
    dates = options.draw_count(rng)
    land = draw_land(rng, NUM_CROPS, options.favoured_crops(index), 1, options.fallow)
    days = draw_days(rng, dates)
    series = draw_series(rng, land, REGION, days, options.difficulty)
    code_of_label = np.zeros(256, np.uint8)
    code_of_label[1 : NUM_CROPS + 1] = [CODES.get(crop.name, 0) for crop in CROPS[:NUM_CROPS]]
    codes = code_of_label[land.labels]
    calendar = [SEASON_START + timedelta(days=int(day)) for day in days]
    dated = {
        'day': np.array([day.timetuple().tm_yday for day in calendar]),
        'year': np.full(dates, 2017),  # as all TFRecords of the download say, data16 included
    }
    for tile, (row, column) in tiles.items():
        window = np.s_[..., SIDE * row : SIDE * (row + 1), SIDE * column : SIDE * (column + 1)]
        labels = np.repeat(codes[window][None], dates, axis=0)
        arrays = dict(**to_resolutions(series[window]), labels=labels, **dated)
        for name, write in zip(tile_files(tile), (write_tfrecord, write_pickle), strict=True):
            write(folder.path / name, arrays)


def _split_lists(tiles: Sequence[int]) -> dict[str, list[str]]:
    """List the tiles of each split, as the download and the conversion to pickles do."""
    members: dict[str, list[int]] = {split: [] for split in dict.fromkeys(SPLITS)}
    for tile in tiles:
        members[SPLITS[(tile - 1) // TILES_PER_SIDE**2 % len(SPLITS)]].append(tile)
    lists = {}
    for split, numbers in members.items():
        lists[f'240/tileids/{split}.tileids'] = [str(number) for number in numbers]
        if split != 'test_fold0':  # the conversion lists two splits, by path
            lists[f'240pkl/{split.removesuffix("_fold0")}_paths.csv'] = [
                f'data_IJGI18/datasets/full/240pkl/data16/{number}.pickle' for number in numbers
            ]
    return lists
