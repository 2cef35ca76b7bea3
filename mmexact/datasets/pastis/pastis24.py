"""PASTIS24: PASTIS cut into pickles of 24 x 24 pixels (Tarasiou et al., CVPR 2023)."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from mmengine import track_iter_progress
from mmengine.dist import is_main_process
from mmseg.registry import DATASETS

from mmexact.datasets.numpy_files import load_arrays
from mmexact.datasets.pastis.pastis import BANDS, METAINFO, find_data_root, to_classes
from mmexact.datasets.reader import PatchReader
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.documents import expecting
from mmexact.masks import check_name
from mmexact.sits import Window, check_days, cut

SOURCE = (
    'PASTIS24 can be downloaded as github.com/michaeltrs/DeepSatModels describes (README_TSVIT.md);'
    ' PASTISDataset cuts the same windows from the raw PASTIS, without a conversion'
)


def load_window(path: str) -> dict[str, np.ndarray]:
    """Read a PASTIS24 pickle.

    Returns:
        ``img`` (T, C, h, w), ``labels`` (h, w), ``doy`` int16 (T,).
    """
    arrays = load_arrays(path, ('img', 'labels', 'doy'), 'iuf')
    series, labels, days = arrays.values()
    labels = labels[0] if labels.ndim == 3 else labels
    if series.ndim != 4 or labels.shape != series.shape[2:] or days.shape != series.shape[:1]:
        shapes = {key: array.shape for key, array in arrays.items()}
        raise ValueError(
            f'{path}: shapes {shapes}; expected img (T, C, h, w), labels (h, w) or (planes, h, w), '
            f'doy (T,)'
        )
    check_days(days, path)
    return dict(img=series, labels=labels, doy=days.astype(np.int16))


# Series and mask of a window are read one after the other.
_latest_window = lru_cache(maxsize=1)(load_window)


@dataclass(eq=False, kw_only=True)
class PickleReader(PatchReader):
    """Reads a window of PASTIS24, a pickle; MMSeg's ``label_map`` renumbers its labels."""

    label_map: dict[int, int] | None

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read (T', C, h, w) digital numbers."""
        return cut(_latest_window(self.source)['img'][dates], window)

    def read_mask(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 classes, 255 where void."""
        labels = cut(_latest_window(self.source)['labels'], window)
        return to_classes(labels, self.label_map, self.source)


@DATASETS.register_module()
class PASTIS24Dataset(SITSDataset):
    """PASTIS24 as downloaded; each pickle is a window.

    ``fold-paths/fold_<n>_paths.csv`` lists the pickles of a fold, one path per line and no header,
    relative to ``data_root``. A pickle is a dict: ``img`` (T, C, 24, 24), ``labels`` (24, 24) or
    planes of which the first counts, ``doy`` (T,), in the order of the day of year. Only plain
    numpy data is unpickled.

    Labels and days are inside the pickles, so that building the dataset reads each once: about
    0.5 ms and half a megabyte per window, that is half a minute for all 60,825 if the disk delivers
    30 GB in that time. :class:`~mmexact.datasets.PASTISDataset` builds in two seconds.

    Args:
        data_root: The unpacked download.
        folds: Official folds 1..5 to use.
        **kwargs: Of :class:`SITSDataset` except ``window_size``: a pickle is a window.

    Raises:
        FileNotFoundError: The download, or a file of it, is missing.
        ValueError: A pickle holds something else, or the labels are not those of PASTIS.
    """

    METAINFO = METAINFO

    def __init__(
        self, data_root: str | None = None, folds: Sequence[int] = (1, 2, 3), **kwargs: Any
    ) -> None:
        self.folds = tuple(folds)
        super().__init__(window_size=None, data_root=data_root, **kwargs)

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        """Yield the pickles of the folds, with a progress bar."""
        data_root = find_data_root(self.data_root, 'fold-paths', SOURCE)
        paths = [path for fold in self.folds for path in self._fold(data_root, fold)]
        for path in track_iter_progress(paths) if is_main_process() else paths:
            sample = _latest_window(path)
            num_bands, height, width = sample['img'].shape[1:]
            yield (
                os.path.splitext(os.path.basename(path))[0],
                PickleReader(
                    source=path,
                    mask_source=path,
                    size=(height, width),
                    bands=BANDS if num_bands == len(BANDS) else None,
                    num_bands=num_bands,
                    days=sample['doy'],
                    label_map=self.label_map,
                ),
            )

    @staticmethod
    def _fold(data_root: str, fold: int) -> list[str]:
        listing = os.path.join(data_root, 'fold-paths', f'fold_{fold}_paths.csv')
        if not os.path.isfile(listing):
            raise FileNotFoundError(
                f'{os.path.abspath(listing)}: no such file, but folds asks for fold {fold}'
            )
        with expecting(listing, 'a path in every line'), open(listing, newline='') as file:
            entries = [row[0].strip() for row in csv.reader(file) if row]
        for line, entry in enumerate(entries, 1):
            if not entry.endswith(('.pickle', '.pkl')):
                raise ValueError(f'{listing}, line {line}: {entry!r}; expected a path of a .pickle')
            for part in PurePosixPath(entry).parts:
                check_name(part, f'{listing}, line {line}')
        return [os.path.join(data_root, entry) for entry in entries]
