"""Series in data cubes (time, band, y, x), Zarr or NetCDF, read window by window with xarray."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine

from mmexact.datasets.rasters.cube_coordinates import find_dims, read_axis, read_crs, read_times
from mmexact.datasets.rasters.dates import choose_season
from mmexact.datasets.rasters.series import RasterSeries
from mmexact.datasets.rasters.settings import Search
from mmexact.sits import Window

CUBES = ('.zarr', '.nc', '.nc4')
"""How the names of cubes end."""


@lru_cache(maxsize=64)
def _open_in(_process: int, path: str) -> Any:
    try:
        import xarray
    except ImportError as error:
        raise ValueError(
            f'{path}: cubes are read with xarray, which is not installed ({error}); install it '
            f"with pip install 'mmexact[cubes]'"
        ) from None
    try:
        # Digital numbers stay the integers that are stored; windows are read on demand.
        return xarray.open_dataset(
            path,
            engine='zarr' if path.endswith('.zarr') else None,
            mask_and_scale=False,
            decode_coords='all',
            chunks=None,
            cache=False,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(
            f'{path}: cannot be opened as a data cube: {error}; is it complete, and are the '
            f"packages of pip install 'mmexact[cubes]' there?"
        ) from error


def _open(path: str) -> Any:
    """Open a cube, or return it as this process opened it before."""
    return _open_in(os.getpid(), path)


@dataclass(frozen=True)
class Layer:
    """A band of a cube.

    Attributes:
        variable: The variable that holds it.
        index: Its place along the dimension of the bands, None where the variable has none.
    """

    variable: str
    index: int | None


@dataclass(frozen=True)
class CubePlanes:
    """Reads a series from a cube.

    Attributes:
        path: The cube.
        dims: Names of its dimensions time, band, y, x.
        dates: Per date, its place along the dimension of time.
        bands: The bands to read.
        clouds: The cloud mask, None without one.
        height: Rows of the cube.
        flipped: Whether the first row is the southernmost.
        nodata: Value of the bands that counts as missing besides what the cube declares.
    """

    path: str
    dims: tuple[str, str, str, str]
    dates: tuple[int, ...]
    bands: tuple[Layer, ...]
    clouds: Layer | None
    height: int
    flipped: bool
    nodata: float | None

    def read(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of some dates, (T', C, h, w), and where it is valid."""
        layers = self.bands[bands]
        variables: dict[str, list[int]] = {}
        for number, layer in enumerate(layers):
            variables.setdefault(layer.variable, []).append(number)
        blocks = []
        for numbers in variables.values():
            blocks.append(self._read([layers[number] for number in numbers], dates, window))
        values = np.empty((len(dates), len(layers), *window[2:]), blocks[0][0].dtype)
        valid = np.empty(values.shape, dtype=bool)
        for numbers, (block, seen) in zip(variables.values(), blocks, strict=True):
            values[:, numbers], valid[:, numbers] = block, seen
        if self.nodata is not None:
            valid &= values != self.nodata
        return values, valid

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of the cloud masks, (T', h, w), and where it is valid."""
        assert self.clouds is not None
        values, valid = self._read([self.clouds], dates, window)
        return values[:, 0], valid[:, 0]

    def _read(
        self, layers: Sequence[Layer], dates: Sequence[int], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read bands of one variable."""
        time, band, y, x = self.dims
        row, column, height, width = window
        first = self.height - row - height if self.flipped else row
        variable = _open(self.path)[layers[0].variable]
        chosen = {
            time: [self.dates[date] for date in dates],
            y: slice(first, first + height),
            x: slice(column, column + width),
        }
        if layers[0].index is not None:
            chosen[band] = [layer.index for layer in layers]
        try:
            part = variable.isel(chosen).transpose(time, ..., y, x).values
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f'{self.path}: {layers[0].variable} cannot be read at row {row}, column {column}: '
                f'{error}; is the cube complete?'
            ) from error
        values = part.reshape(len(dates), len(layers), height, width)
        if self.flipped:
            values = values[:, :, ::-1]
        valid = np.ones(values.shape, dtype=bool)
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values)
        for name in ('_FillValue', 'missing_value', 'nodata'):
            if name in variable.attrs:
                valid &= values != variable.attrs[name]
        return values, valid


def open_cube(path: str, search: Search) -> RasterSeries:
    """Read the coordinates of a cube.

    Bands are the labels of the dimension ``band``, or variables without such a dimension. The
    coordinates ``x`` and ``y`` are those of the centres of pixels. The coordinate reference system
    is that of CF conventions (``grid_mapping``), of a coordinate ``spatial_ref``, or an attribute
    ``crs``. The first row of what is read is the northernmost.

    Args:
        path: The cube, which has the dimensions time, y, x and perhaps band.
        search: Which bands and dates to use.

    Raises:
        ValueError: A dimension, a band or a coordinate is missing or irregular.
    """
    cube = _open(path.rstrip('/'))
    dims = find_dims(cube, path)
    layers = _find_layers(cube, path, dims, search)
    wanted: list[int | str] = list(search.bands or [])
    if not wanted:
        mask = search.clouds.band if search.clouds else None
        wanted = [band for band in layers if band != mask and isinstance(band, str)]
    bands = tuple(_pick(layers, band, path) for band in wanted)
    types = {str(cube[layer.variable].dtype): layer.variable for layer in bands}
    if len(types) > 1 or np.dtype(next(iter(types))).kind not in 'iuf':
        raise ValueError(f'{path}: types {types}; expected numbers of one type in all bands')
    clouds = None
    if search.clouds is not None:
        if search.clouds.rasters is not None:
            raise ValueError(f'{path}: clouds: rasters is set; expected a band of the cube')
        clouds = _pick(layers, search.clouds.band, path)
    times = read_times(cube, path, dims[0])
    chosen = choose_season(times, search.date_range)
    left, across = read_axis(cube, path, dims[3])
    top, down = read_axis(cube, path, dims[2])
    height, width = cube.sizes[dims[2]], cube.sizes[dims[3]]
    if across < 0:
        raise ValueError(f'{path}: {dims[3]} descends; expected coordinates from west to east')
    flipped = down > 0
    if flipped:
        top, down = top + (height - 1) * down, -down
    return RasterSeries(
        source=path,
        size=(height, width),
        crs=read_crs(cube, path, [layer.variable for layer in bands], search.crs),
        transform=Affine(across, 0, left - across / 2, 0, down, top - down / 2),
        times=tuple(times[index] for index in chosen),
        num_bands=len(bands),
        planes=CubePlanes(
            path=path.rstrip('/'),
            dims=dims,
            dates=tuple(chosen),
            bands=bands,
            clouds=clouds,
            height=height,
            flipped=flipped,
            nodata=search.nodata,
        ),
        clouds=search.clouds,
        offset=search.offset,
    )


def _find_layers(
    cube: Any, path: str, dims: tuple[str, str, str, str], search: Search
) -> dict[int | str, Layer]:
    """Find the bands by name; those along a dimension by number from 1 on as well."""
    time, band, y, x = dims
    whole = [name for name, one in cube.data_vars.items() if set(one.dims) == {time, band, y, x}]
    whole.sort()  # a Zarr store lists its variables in the order of the file system
    layers: dict[int | str, Layer] = {
        str(name): Layer(str(name), None)
        for name, one in cube.data_vars.items()
        if set(one.dims) == {time, y, x}
    }
    if search.variable is not None:
        if search.variable not in whole:
            raise ValueError(f'{path}: variable={search.variable!r}; expected one of {whole}')
        whole = [search.variable]
    if len(whole) > 1:
        raise ValueError(f'{path}: several variables have bands; set variable to one of {whole}')
    if whole:
        count = cube.sizes[band]
        names = cube[band].values if band in cube.coords else range(1, count + 1)
        layers.update((index + 1, Layer(str(whole[0]), index)) for index in range(count))
        layers.update((str(name), Layer(str(whole[0]), i)) for i, name in enumerate(names))
    if not layers:
        raise ValueError(
            f'{path}: no variable has the dimensions {time}, {y}, {x}; it has '
            f'{ {str(name): one.dims for name, one in cube.data_vars.items()} }'
        )
    return layers


def _pick(layers: dict[int | str, Layer], band: int | str | None, path: str) -> Layer:
    if band not in layers:
        raise ValueError(f'{path}: no band {band!r}; expected one of {list(layers)}')
    return layers[band]
