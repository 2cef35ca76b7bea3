"""An area out of several tiles, which may have other grids and overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mmexact.datasets.rasters.files import Grid, Plane, open_raster, read_planes
from mmexact.datasets.rasters.reader import RasterReader
from mmexact.datasets.rasters.warp import TOLERANCE, align, to_pixels
from mmexact.sits import Window


class Place(NamedTuple):
    """Where a raster lies in an area.

    Attributes:
        grid: Its own grid, as its metadata have it.
        window: The pixels of the area in which it lies.
        aligned: Whether its pixels are those of the area.
    """

    grid: Grid
    window: Window
    aligned: bool

    @classmethod
    def find(cls, grid: Grid, area: Grid) -> 'Place':
        """Find out where a grid lies in an area; opens nothing."""
        height, width = grid.size
        corners = np.array([[0, width, 0, width], [0, 0, height, height]])
        there = to_pixels(area, grid, corners)
        offset = np.rint(there[:, :1]).astype(int)
        if grid.crs == area.crs and np.abs(there - corners - offset).max() <= TOLERANCE:
            column, row = offset[:, 0].tolist()
            return cls(grid, (row, column, height, width), True)
        # The sides are curved in another CRS.
        along, start = np.linspace(0, 1, 33), np.zeros(33)
        sides = [(along, start), (along, start + 1), (start, along), (start + 1, along)]
        edge = to_pixels(area, grid, np.concatenate(sides, 1) * [[width], [height]])
        column, row = (np.floor(edge.min(1)).astype(int) - 1).tolist()
        right, bottom = (np.ceil(edge.max(1)).astype(int) + 1).tolist()
        return cls(grid, (row, column, bottom - row, right - column), False)


class Tile(NamedTuple):
    """A band of a raster that covers a part of an area."""

    plane: Plane
    place: Place


@dataclass(kw_only=True, eq=False)
class MosaicReader(RasterReader):
    """Reads an area whose bands lie in several tiles; of those that overlap, the first counts.

    A tile is opened when a window touches it.

    Attributes:
        tiles: Per date and band, its tiles.
        masks: Per date, the tiles of its cloud mask; empty without one.
    """

    tiles: Sequence[Sequence[Sequence[Tile]]]
    masks: Sequence[Sequence[Tile]] = ()
    aligned: dict[tuple[Plane, bool], Plane] = field(init=False, default_factory=dict)

    def read_stored(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read some dates as stored; see :class:`RasterReader`."""
        mosaics = [tiles for date in dates for tiles in self.tiles[date][bands]]
        values, valid = self._read(mosaics, window, codes=False)
        shape = (len(dates), -1, *window[2:])
        return values.reshape(shape), valid.reshape(shape)

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read the cloud masks of some dates; see :class:`RasterReader`."""
        return self._read([self.masks[date] for date in dates], window, codes=True)

    def _read(
        self, mosaics: Sequence[Sequence[Tile]], window: Window, codes: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        values = np.zeros((len(mosaics), *window[2:]), mosaics[0][0].plane.dtype)
        valid = np.zeros(values.shape, dtype=bool)
        for number, tiles in enumerate(mosaics):
            for tile in tiles:
                part = _shared(tile.place.window, window)
                if part is None:
                    continue
                row, column, height, width = part
                inside = (
                    number,
                    slice(row - window[0], row - window[0] + height),
                    slice(column - window[1], column - window[1] + width),
                )
                if not valid[inside].all():
                    (block,), (seen,) = self._read_tile(tile, part, codes)
                    seen &= ~valid[inside]
                    values[inside][seen] = block[seen]
                    valid[inside] |= seen
        return values, valid

    def _read_tile(self, tile: Tile, part: Window, codes: bool) -> tuple[np.ndarray, np.ndarray]:
        plane, (grid, (top, left, *_), is_aligned) = tile
        raster, row, column = open_raster(plane.path).file, part[0], part[1]
        dtype = raster.dtypes[plane.number - 1] if plane.number <= raster.count else 'none'
        if (raster.shape, dtype) != (grid.size, plane.dtype):
            raise ValueError(
                f'{plane.path}: band {plane.number} has {raster.shape} pixels of type {dtype}; '
                f'expected {grid.size} as {self.source} has it, and {plane.dtype} as at the first '
                f'date'
            )
        if is_aligned:
            row, column = row - top, column - left
        else:
            if (plane, codes) not in self.aligned:
                crs = grid.crs.to_wkt() if grid.crs else None
                self.aligned[plane, codes] = align(plane, self.grid, crs, codes=codes)
            plane = self.aligned[plane, codes]
        return read_planes([plane], (row, column, *part[2:]))


def _shared(one: Window, other: Window) -> Window | None:
    """Return the pixels that two windows share, None if there are none."""
    first = [max(one[axis], other[axis]) for axis in (0, 1)]
    last = [min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) for axis in (0, 1)]
    if last[0] <= first[0] or last[1] <= first[1]:
        return None
    return first[0], first[1], last[0] - first[0], last[1] - first[1]
