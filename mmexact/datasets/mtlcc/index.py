"""What building a dataset of MTLCC needs to know of each tile, kept in a file beside the runs."""

import os
import pickle
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from mmengine import track_iter_progress
from mmengine.dist import is_main_process

from mmexact.datasets.mtlcc.tiles import TileFacts, load_tile
from mmexact.datasets.numpy_files import load_plain_pickle
from mmexact.masks import whole_file


def look_up(folder: str, names: Sequence[str], index_file: str | None) -> list[TileFacts]:
    """Return dates and masks of tiles, which otherwise are known only after unpacking every file.

    Tiles that are not in the index, or whose size or time of change differs from what it says, are
    read, with a progress bar. What was read is kept also when a tile is damaged or the user
    interrupts.

    Args:
        folder: Folder of the tiles of one size and year.
        names: Their files.
        index_file: A pickle of plain numpy data, made if missing; None keeps nothing.
    """
    index = {} if index_file is None else _read(index_file)
    # Trees of both formats and sizes can share an index: 240/data16/7.tfrecord.gz
    place = '/'.join(os.path.realpath(folder).split(os.sep)[-2:])
    unread = {}
    for name in names:
        status = os.stat(os.path.join(folder, name))
        stamp = status.st_size, status.st_mtime_ns
        if index.get(f'{place}/{name}', (None,))[0] != stamp:
            unread[name] = stamp
    tracked = unread and is_main_process()
    try:
        for name in track_iter_progress(list(unread)) if tracked else unread:
            _, facts = load_tile(os.path.join(folder, name))
            index[f'{place}/{name}'] = unread[name], astuple(facts)
    finally:
        if tracked and index_file is not None:
            with whole_file(index_file) as unfinished, open(unfinished, 'wb') as file:
                pickle.dump(index, file, protocol=4)
    return [TileFacts(*index[f'{place}/{name}'][1]) for name in names]


def _read(path: str) -> dict[str, tuple[Any, ...]]:
    try:
        index: dict[str, tuple[Any, ...]] = load_plain_pickle(path) if os.path.exists(path) else {}
        for _, facts in index.values():
            TileFacts(*facts)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f'{path}: not an index of MTLCC tiles ({error}); delete it, or choose another '
            f'index_file'
        ) from error
    return index
