"""The reader of an area: values, clouds and labels of a window, whatever files hold them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from mmexact.datasets.gaps import fill_gaps, hide_gaps
from mmexact.datasets.rasters.files import Grid, Plane, open_raster, read_planes
from mmexact.datasets.rasters.formulas import compute_bands
from mmexact.datasets.rasters.settings import Search
from mmexact.datasets.rasters.warp import align
from mmexact.datasets.reader import PatchReader
from mmexact.masks import check_labels
from mmexact.sits import IGNORED, Georeference, Window


@dataclass(frozen=True)
class LabelRaster:
    """The raster of labels of an area.

    Attributes:
        plane: The raster on the grid of the area.
        codes: Class by value; None where the values are classes.
        other_codes: Class of values that ``codes`` does not list.
        num_classes: Number of classes.
    """

    plane: Plane
    codes: dict[int, int] | None
    other_codes: int
    num_classes: int

    @classmethod
    def open(
        cls, path: str, grid: Grid, crs: str | None, codes: dict[int, int] | None, **kwargs: int
    ) -> 'LabelRaster':
        """Open a raster, which may have another grid: the nearest value counts.

        No data that ``codes`` lists is data. ``crs`` holds for a raster that declares none, and
        ``kwargs`` are the other attributes.
        """
        raster = open_raster(path)
        plane = raster.planes()[1]
        if np.dtype(plane.dtype).kind not in 'iu':
            raise ValueError(f'{path}: labels of type {plane.dtype}; expected integers')
        masked = raster.file.nodatavals[0] not in (codes or {})
        return cls(align(plane, grid, crs, codes=True, masked=masked), codes, **kwargs)

    def read(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 classes, 255 where there is no data or the code is ignored."""
        (values,), (valid,) = read_planes([self.plane], window)
        if self.codes is None:
            labels = np.where(valid, values, np.uint8(IGNORED))
            check_labels(labels, self.num_classes, self.plane.path)
            return labels.astype(np.uint8, copy=False)
        mask: np.ndarray = np.where(valid, np.uint8(self.other_codes), np.uint8(IGNORED))
        for code, label in self.codes.items():
            mask[valid & (values == code)] = label
        return mask


@dataclass(kw_only=True, eq=False)
class RasterReader(PatchReader):
    """Reads an area, all dates of which lie on one grid.

    Attributes:
        grid: Where its pixels lie.
        times: Per date, when it was taken; ascending.
        search: What its clouds and its digital numbers mean.
        gaps: What becomes of a date at which a pixel was not observed: 'interpolate' or 'pad'.
        labels: Its labels, None without any.
    """

    grid: Grid
    times: Sequence[datetime]
    search: Search
    gaps: str = 'interpolate'
    labels: LabelRaster | None = None
    source: str = field(init=False)
    mask_source: str | None = field(init=False)
    size: tuple[int, int] = field(init=False)
    days: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.size = self.grid.source, self.grid.size
        self.mask_source = self.labels.plane.path if self.labels else None
        self.days = np.array([time.timetuple().tm_yday for time in self.times], dtype=np.int16)

    @abstractmethod
    def read_stored(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read some dates as stored, (T', C, h, w), and where they are valid, bool.

        Their bands are those of ``search.stored``, from which others may be computed.
        """

    @abstractmethod
    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read the cloud masks of some dates, (T', h, w), and where they are valid, bool."""

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read (T', C, h, w), masked and 0 where there are gaps that were not filled."""
        values, valid = self._observed(dates, window)
        if valid.all():
            return values
        if self.gaps == 'pad':
            return hide_gaps(values, valid)
        seconds = [(self.times[date] - self.times[0]).total_seconds() for date in dates]
        return fill_gaps(values, valid, np.array(seconds) / 86400)

    def read_observed(self, dates: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read what was really observed; see :class:`PatchReader`."""
        values, valid = self._observed(dates, window)
        return np.where(valid, values, 0), valid

    def _observed(self, dates: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        wanted = dates.tolist()
        values, valid = self.read_stored(wanted, window)
        if self.search.clouds is not None:
            valid &= self._clear(wanted, window)[:, None]
        if self.search.offset is not None:
            values = self.search.offset.apply(values, [self.times[date] for date in wanted])
        if self.search.computes:
            values, valid = compute_bands(self.search.bands or (), values, valid)
        return values, valid

    def _clear(self, dates: Sequence[int], window: Window) -> np.ndarray:
        """Return which pixels of some dates are clear, (T', h, w) bool.

        By the cloud mask or, without one, by what the first band has no data for.
        """
        if self.search.clouds is None:
            return self.read_stored(dates, window, slice(1))[1][:, 0]
        mask, known = self.read_clouds(dates, window)
        return known & ~self.search.clouds.hidden(mask)

    def clear_shares(self, window: Window) -> np.ndarray:
        """Return the share of a window that no cloud hides at each date, float (T,).

        One date is read at a time, so that the window may be the whole area.
        """
        return np.array([self._clear([date], window).mean() for date in range(len(self.times))])

    def read_mask(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 classes, 255 where there is no data or the code is ignored."""
        return super().read_mask(window) if self.labels is None else self.labels.read(window)

    def georeference(self, window: Window) -> Georeference:
        """Return where a window lies on the ground."""
        return self.grid.georeference(window)


@dataclass(kw_only=True, eq=False)
class FileReader(RasterReader):
    """Reads an area whatever raster files it is spread over.

    Attributes:
        planes: Per date, its bands on the grid.
        masks: Per date, its cloud mask on the grid; empty without one.
    """

    planes: Sequence[Sequence[Plane]]
    masks: Sequence[Plane] = ()

    def read_stored(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read some dates as stored; see :class:`RasterReader`."""
        planes = [plane for date in dates for plane in self.planes[date][bands]]
        values, valid = read_planes(planes, window)
        shape = (len(dates), -1, *window[2:])
        return values.reshape(shape), valid.reshape(shape)

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read the cloud masks of some dates; see :class:`RasterReader`."""
        return read_planes([self.masks[date] for date in dates], window)
