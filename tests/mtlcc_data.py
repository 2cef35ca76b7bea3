"""Tiles of MTLCC whose values tell where they belong, in both formats."""

from pathlib import Path

import numpy as np

from mmexact.datasets.synthetic.mtlcc_tree import write_pickle, write_tfrecord

DAYS = (5, 60, 366)
"""Days of year of all tiles."""


def tile_arrays(codes: np.ndarray, offset: int = 0, days: tuple[int, ...] = DAYS) -> dict:
    """Make a tile from its (h, w) codes; the digital numbers of each resolution count from offset.

    Bands of 20 m are half as high and wide, those of 60 m a sixth.
    """
    height, width = codes.shape
    arrays = {}
    for name, step, bands in (('x10', 1, 4), ('x20', 2, 6), ('x60', 6, 3)):
        shape = len(days), max(1, height // step), max(1, width // step), bands
        arrays[name] = offset + np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    labels = np.repeat(codes[None], len(days), axis=0)
    return dict(arrays, labels=labels, day=np.array(days), year=np.full(len(days), 2017))


def write_mtlcc(
    root: Path,
    tiles: dict[str, np.ndarray],
    splits: dict[str, list[str]],
    years: tuple[int, ...] = (2016,),
) -> Path:
    """Write ``<root>/240`` and ``240pkl``: (h, w) codes by tile, and the tiles of each split.

    Tile n of year y has the offset 100 * n + (y - 2016).
    """
    for year in years:
        for kind in ('240', '240pkl'):
            (root / kind / f'data{year % 100}').mkdir(parents=True, exist_ok=True)
        for name, codes in tiles.items():
            arrays = tile_arrays(codes, 100 * int(name) + year - 2016)
            folder = f'data{year % 100}'
            write_tfrecord(root / '240' / folder / f'{name}.tfrecord.gz', arrays)
            write_pickle(root / '240pkl' / folder / f'{name}.pickle', arrays)
    (root / '240/tileids').mkdir(exist_ok=True)
    for split, names in splits.items():
        (root / f'240/tileids/{split}.tileids').write_text(''.join(f'{n}\n' for n in names))
    return root
