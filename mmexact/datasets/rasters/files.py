"""Windows of raster files, read with rasterio."""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from mmexact.sits import Window

OPEN_FILES = 768
"""Files a process keeps open: opening one costs some 30 times as much as reading a window.

A year of 60 dates with a file for each of 11 bands fits in, and so does this number into the 1,024
files that a process may usually open.
"""


class _Opened(NamedTuple):
    """An open raster and, where that is all that marks missing values, what its bands declare."""

    raster: DatasetReader
    nodata: tuple[float | None, ...] | None


@lru_cache(maxsize=OPEN_FILES)
def _open_in(_process: int, path: str) -> _Opened:
    # Listing a folder of many rasters is most of the cost of opening one; side-car files of known
    # names are still found.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='TRUE'):
        raster = rasterio.open(path)
    plain = ([MaskFlags.all_valid], [MaskFlags.nodata])
    simple = all(flags in plain for flags in raster.mask_flag_enums)
    return _Opened(raster, raster.nodatavals if simple else None)


def _open(path: str) -> _Opened:
    try:
        return _open_in(os.getpid(), path)
    except RasterioIOError as error:
        if not os.path.exists(path):
            raise FileNotFoundError(f'{os.path.abspath(path)}: no such raster') from None
        raise ValueError(f'{path}: cannot be opened as a raster: {error}') from error


def open_raster(path: str) -> DatasetReader:
    """Open a raster, or return it as this process opened it before. Do not close it.

    The process is part of the key because GDAL's handles must not be shared after a fork.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a raster that GDAL reads.
    """
    return _open(path).raster


def read_window(
    raster: DatasetReader, bands: Sequence[int], window: Window, masked: bool = True
) -> np.ndarray:
    """Read (bands, h, w) of an open raster, masked where the file declares no data.

    Args:
        raster: From :func:`open_raster`.
        bands: Bands to read, from 1 on.
        window: Pixels to read.
        masked: Return a masked array, which takes about as long again as reading.

    Raises:
        ValueError: The file is damaged.
    """
    row, column, height, width = window
    try:
        return raster.read(
            list(bands), window=RasterWindow(column, row, width, height), masked=masked
        )
    except RasterioIOError as error:
        raise ValueError(
            f'{raster.name}: cannot be read at row {row}, column {column}: {error}; '
            f'is the file complete?'
        ) from error


def read_valid(
    path: str, bands: Sequence[int], window: Window, nodata: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read (bands, h, w) of a file, and where the values are valid, bool of that shape.

    Args:
        path: The file.
        bands: Bands to read, from 1 on.
        window: Pixels to read.
        nodata: Value that counts as missing besides what the file declares.
    """
    raster, declared = _open(path)
    block = read_window(raster, bands, window, masked=declared is None)
    if declared is None:
        values, valid = np.ma.getdata(block), ~np.ma.getmaskarray(block)
    else:
        values, valid = block, np.ones(block.shape, dtype=bool)
        for number, band in enumerate(bands):
            missing = declared[band - 1]
            if missing is not None:
                np.not_equal(values[number], missing, out=valid[number])
    if values.dtype.kind == 'f':
        valid &= np.isfinite(values)
    if nodata is not None:
        valid &= values != nodata
    return values, valid
