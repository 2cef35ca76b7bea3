"""The grid of an area, and how rasters of other resolutions lie on it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from mmexact.datasets.rasters.files import open_raster
from mmexact.sits import Georeference, Window

TOLERANCE = 0.01
"""Pixels by which two rasters may be shifted and still count as aligned."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of an area lie.

    Attributes:
        source: The file that defines the grid.
        size: (height, width) in pixels.
        crs: Coordinate reference system as WKT, None without one.
        transform: From (column, row) to coordinates.
    """

    source: str
    size: tuple[int, int]
    crs: str | None
    transform: Affine

    def georeference(self, window: Window) -> Georeference:
        """Return where a window lies."""
        row, column = window[:2]
        a, b, c, d, e, f = self.transform[:6]
        corner = (c + a * column + b * row, f + d * column + e * row)
        return Georeference(self.crs, (a, b, corner[0], d, e, corner[1]))


class Axis(NamedTuple):
    """Where the pixels of a grid lie in a raster along one axis.

    Attributes:
        scale: Size of a pixel of the grid in pixels of the raster.
        shift: Where the grid starts, in pixels from the start of the raster.
        length: Pixels of the raster.
    """

    scale: float
    shift: float
    length: int

    def centres(self, first: int, count: int) -> np.ndarray:
        """Return where pixels of the grid have their centres, whole at centres of the raster's."""
        return (np.arange(first, first + count) + 0.5) * self.scale + self.shift - 0.5

    def span(self, first: int, count: int) -> tuple[int, int]:
        """Return the first pixel of the raster, and how many, that pixels of the grid need."""
        first_centre, last_centre = self.centres(first, count)[[0, -1]]
        low = min(max(math.floor(first_centre), 0), self.length - 1)
        high = min(max(math.floor(last_centre) + 1, 0), self.length - 1)
        return low, high - low + 1

    def nearest(self, first: int, count: int) -> np.ndarray:
        """Return the pixel of the :meth:`span` that is nearest to each pixel of the grid."""
        start = self.span(first, count)[0]
        near = np.floor(self.centres(first, count) + 0.5).astype(int)
        return near.clip(0, self.length - 1) - start

    def blend(self, values: np.ndarray, first: int, count: int) -> np.ndarray:
        """Interpolate the last axis, the :meth:`span`, linearly; constant beyond the ends."""
        start = self.span(first, count)[0]
        centres = self.centres(first, count).clip(0, self.length - 1)
        low = np.floor(centres).astype(int)
        high = np.minimum(low + 1, start + values.shape[-1] - 1)
        share = (centres - low).astype(values.dtype)
        return values[..., low - start] * (1 - share) + values[..., high - start] * share


class Placement(NamedTuple):
    """Where the pixels of a grid lie in a raster of another resolution.

    What a pixel gets depends on nothing but where it lies, so a window is the same whether it is
    read alone or cut out of the whole area. GDAL's resampling would do, but mixes values in that
    count as missing without being declared.
    """

    rows: Axis
    columns: Axis

    def span(self, window: Window) -> Window:
        """Return the window of the raster that a window of the grid needs."""
        row, column, height, width = window
        top, rows = self.rows.span(row, height)
        left, columns = self.columns.span(column, width)
        return top, left, rows, columns

    def nearest(self, values: np.ndarray, window: Window) -> np.ndarray:
        """Give each pixel of a window (..., h, w) the nearest value of its :meth:`span`."""
        row, column, height, width = window
        rows = self.rows.nearest(row, height)
        return values[..., rows[:, None], self.columns.nearest(column, width)]

    def bilinear(
        self, values: np.ndarray, valid: np.ndarray, window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interpolate a window from its :meth:`span`.

        Args:
            values: (..., rows, columns) of the span.
            valid: Where they are valid, bool of that shape.
            window: Window of the grid.

        Returns:
            Values (..., h, w) of the same type, interpolated from those neighbours that are valid,
            and where the nearest one is.
        """
        row, column, height, width = window
        kind = np.result_type(values.dtype, np.float32)

        def blend(plane: np.ndarray) -> np.ndarray:
            across = self.columns.blend(plane, column, width).swapaxes(-1, -2)
            return self.rows.blend(across, row, height).swapaxes(-1, -2)

        if valid.all():
            result = blend(values.astype(kind))
        else:
            weight = blend(valid.astype(kind))
            total = blend(np.where(valid, values, 0).astype(kind))
            result = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        if values.dtype.kind in 'iu':
            result = np.rint(result)
        return result.astype(values.dtype), self.nearest(valid, window)


def grid_of(path: str, crs: str | None = None) -> Grid:
    """Return the grid of a raster; ``crs`` holds if it declares none."""
    raster = open_raster(path)
    declared = _crs_of(raster, crs)
    return Grid(path, raster.shape, declared.to_wkt() if declared else None, raster.transform)


def check_grid(path: str, grid: Grid, crs: str | None = None) -> None:
    """Refuse a raster that does not lie on a grid, pixel by pixel.

    Args:
        path: The raster.
        grid: The grid.
        crs: Coordinate reference system of rasters that declare none.

    Raises:
        ValueError: Names both files, what differs, both values, and how to align them.
    """
    raster = open_raster(path)
    _check_crs(raster, grid, crs)
    for what, mine, theirs, differ in (
        ('size (height, width)', raster.shape, grid.size, raster.shape != grid.size),
        (
            'transform',
            raster.transform[:6],
            grid.transform[:6],
            _shift(raster, grid) > TOLERANCE,
        ),
    ):
        if differ:
            raise ValueError(f'{path}: {what} {mine} differs from {theirs} {_way_out(path, grid)}')


def place(path: str, grid: Grid, crs: str | None = None, finer: bool = False) -> Placement | None:
    """Find out how to read a raster on a grid.

    Args:
        path: The raster. It may be coarser than the grid, then it has to cover it.
        grid: The grid.
        crs: Coordinate reference system of rasters that declare none.
        finer: It may be finer as well.

    Returns:
        How to resample it, or None if it lies on the grid pixel by pixel.

    Raises:
        ValueError: It lies otherwise; see :func:`check_grid`.
    """
    raster = open_raster(path)
    there = ~raster.transform @ grid.transform
    same = max(abs(there.a - 1), abs(there.e - 1)) < 1e-6
    turned = max(abs(there.b), abs(there.d)) > 1e-6 or min(there.a, there.e) <= 0
    if same or turned or (not finer and max(there.a, there.e) > 1):
        check_grid(path, grid, crs)
        return None
    _check_crs(raster, grid, crs)
    rows = Axis(there.e, there.f, raster.height)
    columns = Axis(there.a, there.c, raster.width)
    for axis, length in ((rows, grid.size[0]), (columns, grid.size[1])):
        end = axis.shift + axis.scale * length
        if axis.shift < -TOLERANCE or end > axis.length + TOLERANCE:
            raise ValueError(
                f'{path}: bounds {tuple(raster.bounds)} do not cover the area '
                f'{_bounds(grid)} {_way_out(path, grid)}'
            )
    return Placement(rows, columns)


def _crs_of(raster: DatasetReader, crs: str | None) -> CRS | None:
    return raster.crs or (CRS.from_user_input(crs) if crs else None)


def _check_crs(raster: DatasetReader, grid: Grid, crs: str | None) -> None:
    mine, theirs = _crs_of(raster, crs), CRS.from_wkt(grid.crs) if grid.crs else None
    if mine != theirs:
        way_out = (
            f'{_way_out(raster.name, grid)}'
            if mine and theirs
            else f"of {grid.source}; set search=dict(crs='EPSG:...') for rasters that declare none"
        )
        raise ValueError(f'{raster.name}: CRS {mine} differs from {theirs} {way_out}')


def _shift(raster: DatasetReader, grid: Grid) -> float:
    """Return by how many pixels the corners of a raster are shifted at most."""
    corners = np.array([[0, grid.size[1], 0], [0, 0, grid.size[0]], [1, 1, 1]])
    here, there = (np.reshape(tuple(one.transform), (3, 3)) for one in (raster, grid))
    return float(np.abs(np.linalg.solve(there, here @ corners) - corners).max())


def _bounds(grid: Grid) -> tuple[float, ...]:
    left, top = grid.transform @ (0, 0)
    right, bottom = grid.transform @ grid.size[::-1]
    return left, bottom, right, top


def _way_out(path: str, grid: Grid) -> str:
    return (
        f'of {grid.source}; align it with\n'
        f'  rio warp {path} aligned.tif --like {grid.source} --resampling nearest'
    )
