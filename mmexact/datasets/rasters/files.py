"""Bands of raster files, read window by window with rasterio."""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from mmexact.gdal_files import open_gdal
from mmexact.sits import Georeference, Window

OPEN_FILES = 768
"""Files a process keeps open: opening one costs some 30 times as much as reading a window.

A year of 60 dates with a file for each of 11 bands fits in, and so does this number into the 1,024
files that a process may usually open.
"""


# Listing a folder of many rasters is most of the cost of opening one; side-car files of known names
# are still found. The pool holds the files of documents.
OPTIONS = dict(GDAL_DISABLE_READDIR_ON_OPEN=True, GDAL_MAX_DATASET_POOL_SIZE=OPEN_FILES)
"""How rasters are opened."""


class Grid(NamedTuple):
    """Where pixels lie.

    Attributes:
        source: The file whose pixels these are.
        size: (height, width) in pixels.
        crs: Coordinate reference system, None where there is none.
        transform: From (column, row) to coordinates.
    """

    source: str
    size: tuple[int, int]
    crs: CRS | None
    transform: Affine

    def georeference(self, window: Window) -> Georeference:
        """Return where a window lies."""
        corner = self.transform @ Affine.translation(window[1], window[0])
        return Georeference(self.crs.to_wkt() if self.crs else None, corner[:6])


class Plane(NamedTuple):
    """A band of a raster file.

    Attributes:
        path: The file.
        number: The band, from 1 on.
        dtype: Type of its values.
        nodata: Value that is missing besides what the file declares.
        document: What GDAL opens instead of a file that lies on another grid, see
            :func:`~mmexact.datasets.rasters.warp.align`: one band, NaN where it is missing.
    """

    path: str
    number: int
    dtype: str
    nodata: float | None = None
    document: str = ''


class Raster(NamedTuple):
    """An open raster; do not close it.

    Attributes:
        file: The raster.
        nodata: What its bands declare; None if something else marks what is missing, such as an
            alpha band.
    """

    file: DatasetReader
    nodata: tuple[float | None, ...] | None

    def planes(self, nodata: float | None = None) -> dict[int | str, Plane]:
        """Return the bands by their number from 1 on."""
        kinds = enumerate(self.file.dtypes, 1)
        return {number: Plane(self.file.name, number, kind, nodata) for number, kind in kinds}

    def described(self, nodata: float | None = None) -> dict[int | str, Plane]:
        """Return the bands that have a description by it."""
        named = zip(self.file.descriptions, self.planes(nodata).values(), strict=True)
        return {name: plane for name, plane in named if name}


def open_raster(path: str, document: str = '') -> Raster:
    """Open a raster, or return it as this process opened it before.

    Args:
        path: The file.
        document: What GDAL opens instead of it.
    """
    # The process is part of the key because GDAL's handles must not be shared after a fork.
    return _open(os.getpid(), path, document)


@lru_cache(maxsize=OPEN_FILES)
def _open(_process: int, path: str, document: str) -> Raster:
    try:
        with rasterio.Env(**OPTIONS):
            file = rasterio.open(document) if document else open_gdal(path)
    except RasterioIOError as error:
        if not os.path.exists(path):
            raise FileNotFoundError(f'{os.path.abspath(path)}: no such raster') from None
        raise ValueError(f'{path}: cannot be opened as a raster: {error}') from error
    if file.transform.is_degenerate:
        raise ValueError(f'{path}: its transform {tuple(file.transform)[:6]} has no pixel size')
    plain = ([MaskFlags.all_valid], [MaskFlags.nodata])
    simple = all(flags in plain for flags in file.mask_flag_enums)
    return Raster(file, file.nodatavals if simple else None)


def read_planes(planes: Sequence[Plane], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of some planes, (planes, h, w), and where they are valid, bool alike."""
    files: dict[tuple[str, str], list[int]] = {}
    for place, plane in enumerate(planes):
        files.setdefault((plane.path, plane.document), []).append(place)
    kind = np.result_type(*{plane.dtype for plane in planes})
    values = np.empty((len(planes), *window[2:]), kind)
    valid = np.empty(values.shape, dtype=bool)
    for (path, document), places in files.items():
        raster, declared = open_raster(path, document)
        numbers = [planes[place].number for place in places]
        row, column, height, width = window
        area = RasterWindow(column, row, width, height)
        try:
            # A masked array takes about as long again as reading.
            block = raster.read(numbers, window=area, masked=declared is None)
        except RasterioIOError as error:
            raise ValueError(
                f'{path}: cannot be read at row {row}, column {column}: {error}; is the file '
                f'complete?'
            ) from error
        block, seen = np.ma.getdata(block), ~np.ma.getmaskarray(block)
        for band, place in enumerate(places):
            given = declared[numbers[band] - 1] if declared else None
            for missing in {planes[place].nodata, given} - {None}:
                seen[band] &= block[band] != missing
        if block.dtype.kind == 'f':
            seen &= np.isfinite(block)
        if document:
            block = np.where(seen, block, 0)
            block = np.rint(block) if kind.kind in 'iu' else block
        values[places], valid[places] = block, seen
    return values, valid
