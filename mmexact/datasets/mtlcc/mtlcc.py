"""MTLCC, the Germany benchmark (Russwurm and Koerner, ISPRS Int. J. Geo-Inf. 2018).

Sentinel-2 series of 2016 and 2017 around Munich, 17 crops and no background: what is not one of
these crops is not labelled at all.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from mmexact.datasets.labels import map_labels, read_ids
from mmexact.datasets.mtlcc.index import look_up
from mmexact.datasets.mtlcc.tiles import BANDS, PICKLE, TFRECORD, read_bands
from mmexact.datasets.reader import PatchReader
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.documents import expecting
from mmexact.sits import IGNORED, Window, cut

CLASSES = {
    1: ('Sugar beet', (220, 20, 90)),
    2: ('Summer oat', (200, 205, 215)),
    3: ('Meadow', (120, 200, 90)),
    5: ('Rape', (255, 250, 50)),
    8: ('Hop', (128, 0, 110)),
    9: ('Winter spelt', (110, 75, 25)),
    12: ('Winter triticale', (150, 120, 60)),
    13: ('Beans', (0, 130, 110)),
    15: ('Peas', (90, 170, 160)),
    16: ('Potatoes', (190, 150, 255)),
    17: ('Soybeans', (0, 190, 230)),
    19: ('Asparagus', (20, 90, 30)),
    22: ('Winter wheat', (240, 210, 80)),
    23: ('Winter barley', (200, 160, 110)),
    24: ('Winter rye', (70, 90, 220)),
    25: ('Summer barley', (250, 190, 190)),
    26: ('Maize', (255, 127, 14)),
}
"""Class and colour by code of the label arrays, in the order of the classes; 0 is unknown."""

SOURCE = (
    'github.com/TUM-LMF/MTLCC downloads it (40 GB). data_root is the folder of one tile size in '
    'it, data_IJGI18/datasets/full/240, or the folder of the pickles made from it, 240pkl'
)

CSV_OF_SPLIT = {'train_fold0': 'train_paths.csv', 'eval': 'eval_paths.csv'}
"""Lists that TSViT's conversion to pickles makes of two splits."""

_CLASS_OF_CODE = np.full(256, IGNORED, np.uint8)
_CLASS_OF_CODE[list(CLASSES)] = np.arange(len(CLASSES))


@dataclass(eq=False, kw_only=True)
class TileReader(PatchReader):
    """Reads a tile of MTLCC.

    Attributes:
        codes: uint8 (H, W), what grows in the tile; 0 unknown.
        label_map: MMSeg's map from all classes to those chosen.
    """

    codes: np.ndarray
    label_map: dict[int, int] | None

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read int16 (T', 13, h, w) digital numbers."""
        return cut(read_bands(self.source, dates), window)

    def read_mask(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 classes 0..16; 255 where unknown, unlisted or unwanted."""
        return map_labels(_CLASS_OF_CODE[cut(self.codes, window)], self.label_map)


@DATASETS.register_module()
class MTLCCDataset(SITSDataset):
    """MTLCC as downloaded (gzipped TFRecords), or as the pickles that TSViT's users have.

    ``<data_root>/data16`` and ``data17`` hold one file per tile and year, ``<tile>.tfrecord.gz`` or
    ``<tile>.pickle``; sample ids are '<year>_<tile>'. ``tileids/<split>.tileids`` lists the tiles
    of a split: ``train_fold<n>``, ``test_fold<n>`` (n in 0..9) and ``eval``. For pickles it is
    looked for in the download beside them (240pkl, 240), and ``train_fold0`` and ``eval`` can come
    from their train_paths.csv and eval_paths.csv. Listed tiles that are not on disk, of which the
    download itself has some, are counted and left out.

    Series have 13 bands in digital numbers, in the order B4 B3 B2 B8 B5 B6 B7 B8A B11 B12 B1 B9
    B10, brought to 10 m (see :func:`~mmexact.datasets.mtlcc.tiles.read_bands`). Padded dates are
    dropped. Labels are repeated for each date; the first counts. Pixels of code 0 (unknown) and of
    codes that are no class become 255.

    The dates and labels are inside the tiles, so that building the dataset unpacks each once: about
    4 ms per TFRecord, minutes for a split. ``index_file`` remembers them for the next time.

    Args:
        data_root: Folder of the tiles of one size.
        split: Name of the list of tiles.
        years: 2016, 2017 or both.
        index_file: File that keeps dates and masks of the tiles, made if missing, used by
            any number of splits; None reads all tiles every time. It starts at the working
            directory, not at ``data_root``.
        **kwargs: Of :class:`SITSDataset`; ``window_size`` is None here by default, a tile is a
            window. ``metainfo=dict(classes=...)`` chooses some of the classes.

    Raises:
        FileNotFoundError: The download, or a list of it, is missing.
        ImportError: The package that reads TFRecords is not installed.
        ValueError: The split is unknown, or a tile is damaged or has other contents.
    """

    METAINFO = dict(
        classes=tuple(name for name, _ in CLASSES.values()),
        palette=[list(colour) for _, colour in CLASSES.values()],
        background=False,
    )

    def __init__(
        self,
        data_root: str | None = None,
        split: str = 'train_fold0',
        years: Sequence[int] = (2016,),
        index_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.years = tuple(years)
        self.index_file = index_file
        kwargs.setdefault('window_size', None)
        super().__init__(data_root=data_root, **kwargs)

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        """Yield the tiles of the split."""
        bands = [band for bands in BANDS.values() for band in bands]
        tiles_of = {year: self._find_tiles(year) for year in self.years}
        for year, (folder, names) in tiles_of.items():
            tiles = look_up(folder, names, self.index_file)
            varying = sum(not tile.codes_repeat for tile in tiles)
            if varying:
                report(f'{folder}: labels of {varying} tiles change over time; the first are used')
            for name, tile in zip(names, tiles, strict=True):
                path = os.path.join(folder, name)
                yield (
                    f'{year}_{name.split(".")[0]}',
                    TileReader(
                        source=path,
                        mask_source=path,
                        size=tile.codes.shape,
                        bands=bands,
                        num_bands=len(bands),
                        days=tile.days,
                        codes=tile.codes,
                        label_map=self.label_map,
                    ),
                )

    def _find_tiles(self, year: int) -> tuple[str, list[str]]:
        """Find the folder of a year and the tiles of the split that are in it."""
        if self.data_root is None or not os.path.isdir(self.data_root):
            where = 'data_root is not set' if self.data_root is None else self.data_root
            raise FileNotFoundError(f'{where}: no such folder. {SOURCE}')
        names = self._split_names(self.data_root)
        folder = os.path.join(self.data_root, f'data{year % 100}')
        files = os.listdir(folder) if os.path.isdir(folder) else []
        found = {
            file.removesuffix(end): file
            for end in (PICKLE, TFRECORD)
            for file in files
            if file.endswith(end)
        }
        if not found:
            raise FileNotFoundError(
                f'{os.path.abspath(folder)}: no tiles *{TFRECORD} or *{PICKLE}. {SOURCE}'
            )
        there = [found[name] for name in names if name in found]
        if not there:
            raise ValueError(
                f'{folder}: none of the {len(names)} tiles of {self.split} (first {names[:1]}) is '
                f'there; do tileids and tiles belong to one size?'
            )
        if missing := len(names) - len(there):
            report(f'{folder}: {missing} of the {len(names)} tiles of {self.split} are not there')
        return folder, there

    def _split_names(self, root: str) -> list[str]:
        """Read the names of the tiles of the split."""
        real = os.path.realpath(root)
        size = os.path.basename(real).removesuffix('pkl')
        folders = [os.path.join(root, 'tileids'), os.path.join(real, '..', size, 'tileids')]
        listings = next((folder for folder in folders if os.path.isdir(folder)), None)
        if listings is not None:
            known = sorted(name for name in os.listdir(listings) if name.endswith('.tileids'))
            if f'{self.split}.tileids' not in known:
                raise ValueError(
                    f'split={self.split!r}: no {self.split}.tileids in {listings}, only {known}'
                )
            return list(dict.fromkeys(read_ids(os.path.join(listings, f'{self.split}.tileids'))))
        listing = os.path.join(root, CSV_OF_SPLIT.get(self.split, ''))
        if not os.path.isfile(listing):  # a folder, where the split has no such list
            raise FileNotFoundError(
                f'split={self.split!r}: no folder tileids in {root} or in {size} beside it, and no '
                f'list of that split ({CSV_OF_SPLIT}). {SOURCE}; copy tileids from the download'
            )
        with expecting(listing, 'a path in every line'), open(listing, newline='') as file:
            paths = [row[0].strip() for row in csv.reader(file) if row]
        return list(dict.fromkeys(os.path.basename(path).split('.')[0] for path in paths))


def report(message: str) -> None:
    """Log something that the user should know, once."""
    if is_main_process():
        print_log(message, 'current')
