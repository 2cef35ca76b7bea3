"""Windows of the dated rasters of a series, read with rasterio, and their gaps filled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from mmexact.datasets.labels import Window

OPEN_FILES = 512
"""Files a process keeps open: opening one costs some 30 times as much as reading a window."""


@dataclass(frozen=True)
class RasterSeries:
    """The rasters of one area, all on one grid.

    Attributes:
        files: Per date, the files that hold its bands.
        times: Per date, when it was taken; ascending.
        bands: 1-based bands to read from each file.
        num_bands: Bands C per date.
        size: (height, width) in pixels.
        crs: Coordinate reference system as WKT, None without one.
        transform: From (column, row) to coordinates.
        nodata: Value that counts as missing besides what the files themselves declare.
    """

    files: tuple[tuple[str, ...], ...]
    times: tuple[datetime, ...]
    bands: tuple[int, ...]
    num_bands: int
    size: tuple[int, int]
    crs: str | None
    transform: Affine
    nodata: float | None

    def day_of_year(self) -> np.ndarray:
        """Return the days of year, int16 (T,), 1..366."""
        return np.array([time.timetuple().tm_yday for time in self.times], dtype=np.int16)

    def days(self, dates: np.ndarray) -> np.ndarray:
        """Return when the chosen dates were taken, in days since the first date of the series."""
        seconds = [(self.times[index] - self.times[0]).total_seconds() for index in dates]
        return np.array(seconds) / 86400

    def georeference(self, window: Window | None) -> dict:
        """Return ``crs`` (WKT or None) and ``transform`` (six floats) of a window."""
        row, column = window[:2] if window else (0, 0)
        a, b, c, d, e, f = self.transform[:6]
        corner = (c + a * column + b * row, f + d * column + e * row)
        return dict(crs=self.crs, transform=(a, b, corner[0], d, e, corner[1]))


@lru_cache(maxsize=OPEN_FILES)
def _open_in(_process: int, path: str) -> DatasetReader:
    # Looking for side-car files in a folder of many rasters is most of the cost of opening one.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR'):
        return rasterio.open(path)


def open_raster(path: str) -> DatasetReader:
    """Open a raster, or return it as this process opened it before. Do not close it.

    The process is part of the key because GDAL's handles must not be shared after a fork.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a raster that GDAL reads.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f'{os.path.abspath(path)}: no such raster')
    try:
        return _open_in(os.getpid(), path)
    except RasterioIOError as error:
        raise ValueError(f'{path}: cannot be opened as a raster: {error}') from error


def read_window(raster: DatasetReader, bands: Sequence[int], window: Window) -> np.ma.MaskedArray:
    """Read (bands, h, w) of an open raster, masked where the file declares no data.

    Raises:
        ValueError: The file is damaged.
    """
    row, column, height, width = window
    try:
        return raster.read(
            list(bands), window=RasterWindow(column, row, width, height), masked=True
        )
    except RasterioIOError as error:
        raise ValueError(
            f'{raster.name}: cannot be read at row {row}, column {column}: {error}; '
            f'is the file complete?'
        ) from error


def read_dates(
    series: RasterSeries, dates: np.ndarray, window: Window | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of the chosen dates.

    Args:
        series: What to read from.
        dates: (T',) indices into the series.
        window: Pixels to read; None for all.

    Returns:
        Values (T', C, h, w) in the type of the files, and where they are valid, bool of that shape.
    """
    window = window or (0, 0, *series.size)
    blocks = [
        read_window(open_raster(path), series.bands, window)
        for index in dates
        for path in series.files[index]
    ]
    shape = (len(dates), series.num_bands, *window[2:])
    values = np.stack([block.data for block in blocks]).reshape(shape)
    valid = ~np.stack([np.ma.getmaskarray(block) for block in blocks]).reshape(shape)
    if values.dtype.kind == 'f':
        valid &= np.isfinite(values)
    if series.nodata is not None:
        valid &= values != series.nodata
    return values, valid


def fill_gaps(values: np.ndarray, valid: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Fill what was not observed from the same pixel and band at other dates.

    Linear in time between the observations before and after; the nearest one before the first and
    after the last. What was never observed becomes 0 and is masked.

    Args:
        values: (T, C, h, w); not modified.
        valid: (T, C, h, w) bool, False where ``values`` means nothing.
        days: (T,) when the dates were taken, ascending, in days.

    Returns:
        (T, C, h, w) of the same type, rounded for integers; a masked array, masked at all dates,
        where there are pixels that were never observed in a band.
    """
    gappy = ~valid.all(0)
    known, seen = values[:, gappy], valid[:, gappy]
    steps = np.arange(len(values))[:, None]
    before = np.maximum.accumulate(np.where(seen, steps, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, steps, len(values))[::-1], axis=0)[::-1]
    first = np.where(before < 0, after, before).clip(max=len(values) - 1)
    last = np.where(after == len(values), before, after).clip(min=0)
    span = days[last] - days[first]
    share = np.divide(days[:, None] - days[first], span, out=np.zeros_like(span), where=span > 0)
    low, high = (np.take_along_axis(known, index, 0).astype(float) for index in (first, last))
    filled = np.where(seen, known, low + share * (high - low))
    never = ~seen.any(0)
    filled[:, never] = 0
    result = values.copy()
    result[:, gappy] = np.rint(filled) if values.dtype.kind in 'iu' else filled
    if not never.any():
        return result
    unobserved = np.zeros(values.shape[1:], dtype=bool)
    unobserved[gappy] = never
    return np.ma.MaskedArray(result, np.broadcast_to(unobserved, values.shape))
