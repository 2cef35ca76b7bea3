"""The dated planes of a series in raster files: for each date and band, a band of a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmexact.datasets.rasters.files import read_valid
from mmexact.datasets.rasters.grid import Placement
from mmexact.sits import Window


class Plane(NamedTuple):
    """One band of a raster.

    Attributes:
        path: The file.
        number: Its band, from 1 on.
    """

    path: str
    number: int


@dataclass(frozen=True)
class FilePlanes:
    """Reads a series whatever files it is spread over.

    Attributes:
        bands: Per date, the planes of its bands.
        clouds: Per date, the plane of its cloud mask; empty without one.
        placements: How to resample the files that do not lie on the grid.
        nodata: Value of the bands that counts as missing besides what the files declare.
    """

    bands: tuple[tuple[Plane, ...], ...]
    clouds: tuple[Plane, ...]
    placements: Mapping[str, Placement]
    nodata: float | None

    def read(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of some dates, (T', C, h, w), and where it is valid.

        Coarser bands are interpolated bilinearly.
        """
        planes = [self.bands[date][bands] for date in dates]
        values, valid = self._read([plane for date in planes for plane in date], window)
        shape = (len(planes), -1, *window[2:])
        return values.reshape(shape), valid.reshape(shape)

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of the cloud masks, (T', h, w), nearest, and where it is valid."""
        return self._read([self.clouds[date] for date in dates], window, codes=True)

    def _read(
        self, planes: Sequence[Plane], window: Window, codes: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read (planes, h, w), each file once, and all that lie alike resampled at once."""
        files: dict[Placement | None, dict[str, list[int]]] = {}
        for place, plane in enumerate(planes):
            alike = files.setdefault(self.placements.get(plane.path), {})
            alike.setdefault(plane.path, []).append(place)
        nodata = None if codes else self.nodata
        values = valid = np.empty(0)
        for placement, alike in files.items():
            span = window if placement is None else placement.span(window)
            blocks = [
                read_valid(path, [planes[place].number for place in places], span, nodata)
                for path, places in alike.items()
            ]
            block, seen = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
            if placement is not None and codes:
                block, seen = placement.nearest(block, window), placement.nearest(seen, window)
            elif placement is not None:
                block, seen = placement.bilinear(block, seen, window)
            if not len(values):
                values = np.empty((len(planes), *window[2:]), block.dtype)
                valid = np.empty(values.shape, dtype=bool)
            places = [place for places in alike.values() for place in places]
            values[places], valid[places] = block, seen
        return values, valid
