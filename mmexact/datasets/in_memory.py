"""Series that no file holds: arrays, and a dataset of whatever readers there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmexact.datasets.gaps import fill_gaps, hide_gaps
from mmexact.datasets.reader import PatchReader
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.sits import Window, check_days, cut, season_days

MOST_YEARS = 3
"""New years that a series may pass; with more, its dates are hardly in order."""


@dataclass(kw_only=True, eq=False)
class ArrayReader(PatchReader):
    """Reads a series that is an array.

    Attributes:
        values: (T, C, H, W), real numbers; what is masked, NaN or infinite was not observed.
        gaps: What becomes of a date at which a pixel was not observed: 'interpolate' or 'pad'.

    Raises:
        ValueError: The array has another shape or type, or the days do not belong to it.
    """

    values: np.ndarray
    gaps: str = 'interpolate'
    size: tuple[int, int] = field(init=False)
    num_bands: int = field(init=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.dtype.kind not in 'iuf':
            raise ValueError(
                f'{self.source}: an array of shape {self.values.shape} and type '
                f'{self.values.dtype}; expected numbers of shape (dates, bands, height, width)'
            )
        days = np.asarray(self.days)
        if days.shape != self.values.shape[:1] or days.dtype.kind not in 'iu':
            raise ValueError(
                f'{self.source}: days of year of shape {days.shape} and type {days.dtype}; '
                f'expected a whole number for each of the {len(self.values)} dates'
            )
        check_days(days, self.source)
        if (np.diff(days.astype(int)) < 0).sum() > MOST_YEARS:
            raise ValueError(
                f'{self.source}: days of year {days[:6].tolist()} ...; expected them in order of '
                f'time, so that they start again only where a year does'
            )
        self.days = days.astype(np.int16)
        _, self.num_bands, *size = self.values.shape
        self.size = (size[0], size[1])

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read (T', C, h, w), masked and 0 where there are gaps that were not filled."""
        values, valid = self._cut(window)
        values, valid = values[dates], valid[dates]
        if valid.all():
            return values
        if self.gaps == 'pad':
            return hide_gaps(values, valid)
        return fill_gaps(values, valid, season_days([self.days])[0][dates])

    def read_observed(self, dates: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read what was really observed; see :class:`PatchReader`."""
        values, valid = self._cut(window)
        return np.where(valid[dates], values[dates], 0), valid[dates]

    def clear_shares(self, window: Window) -> np.ndarray:
        """Return the share of a window that was observed at each date, float (T,)."""
        shares: np.ndarray = self._cut(window)[1].all(1).mean((1, 2))
        return shares

    def _cut(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        series = cut(self.values, window)
        values, valid = np.ma.getdata(series), ~np.ma.getmaskarray(series)
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values)
        return values, valid


class SeriesInMemory(SITSDataset):
    """Whole series, with the classes and the pipeline of another dataset.

    Made with ``lazy_init``; :meth:`for_prediction` is what to do with it.

    Args:
        readers: One for each series, by its name.
        like: A dataset of a config, which may be built with ``lazy_init``: its data are not read.
    """

    def __init__(self, readers: Mapping[str, PatchReader], like: SITSDataset) -> None:
        self.given = readers
        metainfo: dict[str, Any] = dict(like.metainfo)
        super().__init__(
            window_size=None, with_masks=False, metainfo=metainfo, test_mode=True, lazy_init=True
        )
        self.pipeline = like.pipeline

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        """Yield the series."""
        yield from self.given.items()
