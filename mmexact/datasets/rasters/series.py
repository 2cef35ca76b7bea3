"""A series of an area as the dataset reads it, whatever holds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from mmexact.datasets.rasters.grid import Grid
from mmexact.datasets.rasters.values import CloudMask, Offset
from mmexact.sits import Window


class Planes(Protocol):
    """What holds the values of a series: raster files or a cube. Windows are of its grid."""

    def read(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read some dates as stored, (T', C, h, w), and where they are valid, bool."""

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read the cloud masks of some dates, (T', h, w), and where they are valid, bool."""


@dataclass(frozen=True)
class RasterSeries(Grid):
    """The dates of one area, all on one grid.

    Attributes:
        times: Per date, when it was taken; ascending.
        num_bands: Bands C per date.
        planes: What holds the values.
        clouds: What its cloud masks mean, None without them.
        offset: What to add to the values of newer dates.
    """

    times: tuple[datetime, ...]
    num_bands: int
    planes: Planes
    clouds: CloudMask | None
    offset: Offset | None

    def day_of_year(self) -> np.ndarray:
        """Return the days of year, int16 (T,), 1..366."""
        return np.array([time.timetuple().tm_yday for time in self.times], dtype=np.int16)

    def days(self, dates: np.ndarray) -> np.ndarray:
        """Return when the chosen dates were taken, in days since the first date of the series."""
        seconds = [(self.times[index] - self.times[0]).total_seconds() for index in dates]
        return np.array(seconds) / 86400

    def read(self, dates: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of the chosen dates.

        Args:
            dates: (T',) indices into the series.
            window: Pixels to read.

        Returns:
            Values (T', C, h, w) in the type of the files, and where they are valid: neither no data
            nor hidden by a cloud, bool of that shape.
        """
        wanted = [int(date) for date in dates]
        values, valid = self.planes.read(wanted, window)
        if self.clouds is not None:
            valid &= self._clear(self.clouds, wanted, window)[:, None]
        if self.offset is not None:
            values = self.offset.apply(values, [self.times[date] for date in wanted])
        return values, valid

    def clear_shares(self, window: Window) -> np.ndarray:
        """Return which share of a window is clear at each date, float (T,) in 0..1.

        By the cloud mask or, without one, by what the first band has no data for. One date is read
        at a time, so that the window may be the whole area.
        """
        shares = []
        for date in range(len(self.times)):
            if self.clouds is not None:
                clear = self._clear(self.clouds, [date], window)
            else:
                clear = self.planes.read([date], window, slice(1))[1]
            shares.append(clear.mean())
        return np.array(shares)

    def _clear(self, clouds: CloudMask, dates: Sequence[int], window: Window) -> np.ndarray:
        mask, known = self.planes.read_clouds(dates, window)
        return known & ~clouds.hidden(mask)
