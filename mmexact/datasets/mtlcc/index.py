"""What building a dataset of MTLCC needs to know of each tile, kept in a file beside the runs."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine import track_iter_progress
from mmengine.dist import is_main_process

from mmexact.datasets.mtlcc.tiles import load_tile


@dataclass(frozen=True)
class TileFacts:
    """Dates and mask of a tile.

    Attributes:
        day_of_year: int16 (T,), 1..366.
        codes: uint8 (h, w), what grows there; 0 unknown.
        codes_repeat: Whether all dates of the file have the same codes.
    """

    day_of_year: np.ndarray
    codes: np.ndarray
    codes_repeat: bool


class TileIndex:
    """Dates and masks of tiles, which otherwise are known only after unpacking every file.

    The file, an .npz, grows with the tiles that are looked up. A tile whose size or time of change
    differs from what the index remembers is read again.

    Args:
        path: The file, made if missing; None keeps nothing.

    Raises:
        ValueError: The file is something else.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._facts: dict[str, TileFacts] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        if path is not None and os.path.exists(path):
            self._read(path)

    def look_up(self, folder: str, names: Sequence[str]) -> list[TileFacts]:
        """Return dates and masks of tiles; those not in the index are read, with a progress bar.

        What was read is kept also when a tile is damaged or the user interrupts.

        Args:
            folder: Folder of the tiles of one size and year.
            names: Their files.

        Raises:
            ValueError: A tile is damaged or has other contents.
        """
        # Trees of both formats and sizes can share an index: 240/data16/7.tfrecord.gz
        place = '/'.join(os.path.realpath(folder).split(os.sep)[-2:])
        unread = {}
        for name in names:
            status = os.stat(os.path.join(folder, name))
            stamp = status.st_size, status.st_mtime_ns
            if self._stamps.get(f'{place}/{name}') != stamp:
                unread[name] = stamp
        if unread:
            try:
                for name in track_iter_progress(list(unread)) if is_main_process() else unread:
                    tile = load_tile(os.path.join(folder, name))
                    facts = TileFacts(tile.day_of_year, tile.codes, tile.codes_repeat)
                    self._facts[f'{place}/{name}'] = facts
                    self._stamps[f'{place}/{name}'] = unread[name]
            finally:
                if self.path is not None and self._facts and is_main_process():
                    self._save(self.path)
        return [self._facts[f'{place}/{name}'] for name in names]

    def _save(self, path: str) -> None:
        facts = list(self._facts.values())
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        unfinished = f'{path}.{os.getpid()}.part'
        with open(unfinished, 'wb') as file:
            np.savez_compressed(
                file,
                names=np.array(list(self._facts)),
                stamps=np.array([self._stamps[name] for name in self._facts]),
                shapes=np.array([tile.codes.shape for tile in facts]),
                codes=np.concatenate([tile.codes.ravel() for tile in facts]),
                codes_repeat=np.array([tile.codes_repeat for tile in facts]),
                num_dates=np.array([len(tile.day_of_year) for tile in facts]),
                days=np.concatenate([tile.day_of_year for tile in facts]),
            )
        os.replace(unfinished, path)

    def _read(self, path: str) -> None:
        try:
            with np.load(path) as file:
                content = {name: file[name] for name in file.files}
            shapes = content['shapes']
            days = np.split(content['days'], np.cumsum(content['num_dates'])[:-1])
            codes = np.split(content['codes'], np.cumsum(shapes.prod(1))[:-1])
            for row, name in enumerate(content['names'].tolist()):
                self._facts[name] = TileFacts(
                    days[row], codes[row].reshape(shapes[row]), bool(content['codes_repeat'][row])
                )
                self._stamps[name] = tuple(content['stamps'][row].tolist())
        except (
            OSError,
            EOFError,
            KeyError,
            ValueError,
            AttributeError,
            zipfile.BadZipFile,
        ) as error:
            raise ValueError(
                f'{path}: not an index of MTLCC tiles ({error}); delete it, or choose another '
                f'index_file'
            ) from error
