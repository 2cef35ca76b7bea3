"""What building a dataset of MTLCC needs to know of each tile, kept in a file beside the runs."""

import os
import pickle
from collections.abc import Sequence
from dataclasses import astuple

from mmengine import track_iter_progress
from mmengine.dist import is_main_process

from mmexact.datasets.mtlcc.tiles import TileFacts, load_tile
from mmexact.datasets.pickles import load_plain_pickle
from mmexact.masks import whole_file

Stamp = tuple[int, int]
"""Size of a file in bytes, and when it was changed, in nanoseconds."""


class TileIndex:
    """Dates and masks of tiles, which otherwise are known only after unpacking every file.

    The file, a pickle of plain numpy data, grows with the tiles that are looked up. A tile whose
    size or time of change differs from what the index remembers is read again.

    Args:
        path: The file, made if missing; None keeps nothing.

    Raises:
        ValueError: The file is something else.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._known: dict[str, tuple[Stamp, TileFacts]] = {}
        if path is None or not os.path.exists(path):
            return
        try:
            for name, (stamp, facts) in load_plain_pickle(path).items():
                self._known[name] = stamp, TileFacts(*facts)
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f'{path}: not an index of MTLCC tiles ({error}); delete it, or choose another '
                f'index_file'
            ) from error

    def look_up(self, folder: str, names: Sequence[str]) -> list[TileFacts]:
        """Return dates and masks of tiles; those not in the index are read, with a progress bar.

        What was read is kept also when a tile is damaged or the user interrupts.

        Args:
            folder: Folder of the tiles of one size and year.
            names: Their files.
        """
        # Trees of both formats and sizes can share an index: 240/data16/7.tfrecord.gz
        place = '/'.join(os.path.realpath(folder).split(os.sep)[-2:])
        unread: dict[str, Stamp] = {}
        for name in names:
            status = os.stat(os.path.join(folder, name))
            stamp = status.st_size, status.st_mtime_ns
            if self._known.get(f'{place}/{name}', (None,))[0] != stamp:
                unread[name] = stamp
        tracked = unread and is_main_process()
        try:
            for name in track_iter_progress(list(unread)) if tracked else unread:
                _, facts = load_tile(os.path.join(folder, name))
                self._known[f'{place}/{name}'] = unread[name], facts
        finally:
            if tracked and self.path is not None:
                self._save(self.path)
        return [self._known[f'{place}/{name}'][1] for name in names]

    def _save(self, path: str) -> None:
        content = {name: (stamp, astuple(facts)) for name, (stamp, facts) in self._known.items()}
        with whole_file(path) as unfinished, open(unfinished, 'wb') as file:
            pickle.dump(content, file, protocol=4)
