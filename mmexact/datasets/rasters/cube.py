"""Series in data cubes (time, band, y, x), Zarr or NetCDF, read window by window with xarray."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmexact.datasets.rasters.cube_coordinates import normalise, read_grid, read_times
from mmexact.datasets.rasters.dates import choose_season
from mmexact.datasets.rasters.reader import RasterReader
from mmexact.datasets.rasters.settings import Search, pick
from mmexact.sits import Window

CUBES = ('.zarr', '.nc', '.nc4')
"""How the names of cubes end."""


def _open(path: str) -> Any:
    """Open a cube, or return it as this process opened it before."""
    return _open_in(os.getpid(), path)


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
        cube = xarray.open_dataset(
            path,
            engine='zarr' if path.endswith('.zarr') else None,
            mask_and_scale=False,
            decode_coords='all',
            chunks=None,
            cache=False,
        )
    except Exception as error:  # what a damaged cube raises depends on where it is damaged
        raise ValueError(
            f'{path}: cannot be opened as a data cube: {error}; is it complete, and are the '
            f"packages of pip install 'mmexact[cubes]' there?"
        ) from error
    return normalise(cube, path)


class Layer(NamedTuple):
    """A band of a cube: its variable, and its place along the dimension of the bands, if any."""

    variable: str
    place: int | None


@dataclass(kw_only=True, eq=False)
class CubeReader(RasterReader):
    """Reads an area from a cube.

    Attributes:
        places: Per date, its place along the dimension of time.
        layers: The bands to read, all of one type.
        mask: The cloud mask, None without one.
        cube: The cube itself where no file holds it, as :func:`normalise` returns it.
    """

    places: Sequence[int]
    layers: Sequence[Layer]
    mask: Layer | None = None
    cube: Any = None

    def read_stored(
        self, dates: Sequence[int], window: Window, bands: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read some dates as stored; see :class:`RasterReader`."""
        values, valid = self._read(self.layers[bands], dates, window)
        if self.search.nodata is not None:
            valid &= values != self.search.nodata
        return values, valid

    def read_clouds(self, dates: Sequence[int], window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read the cloud masks of some dates; see :class:`RasterReader`."""
        assert self.mask is not None
        values, valid = self._read([self.mask], dates, window)
        return values[:, 0], valid[:, 0]

    def _read(
        self, layers: Sequence[Layer], dates: Sequence[int], window: Window
    ) -> tuple[np.ndarray, np.ndarray]:
        cube = _open(self.source) if self.cube is None else self.cube
        row, column, height, width = window
        values = np.empty((len(dates), len(layers), height, width), cube[layers[0].variable].dtype)
        valid = np.ones(values.shape, dtype=bool)
        for name in dict.fromkeys(layer.variable for layer in layers):
            alike = [number for number, layer in enumerate(layers) if layer.variable == name]
            chosen = dict(
                time=[self.places[date] for date in dates],
                y=slice(row, row + height),
                x=slice(column, column + width),
            )
            if 'band' in cube[name].dims:
                chosen['band'] = [layers[number].place for number in alike]
            try:
                part = cube[name].isel(chosen).transpose('time', ..., 'y', 'x').values
            except Exception as error:
                raise ValueError(
                    f'{self.source}: {name} cannot be read at row {row}, column {column}: {error}; '
                    f'is the cube complete?'
                ) from error
            values[:, alike] = part.reshape(len(dates), len(alike), height, width)
            for key in ('_FillValue', 'missing_value', 'nodata'):
                if key in cube[name].attrs:
                    valid[:, alike] &= values[:, alike] != cube[name].attrs[key]
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values)
        return values, valid


def open_cube(path: str, search: Search) -> CubeReader:
    """Read the coordinates of a cube in a file.

    Args:
        path: The cube, see :func:`read_cube`.
        search: Which bands and dates to use.
    """
    path = path.rstrip('/')
    return read_cube(_open(path), path, search)


def read_cube(cube: Any, path: str, search: Search) -> CubeReader:
    """Read the coordinates of a cube.

    Bands are the labels of the dimension ``band``, or variables without such a dimension. The
    coordinates ``x`` and ``y`` are those of the centres of pixels. The coordinate reference system
    is that of CF conventions (``grid_mapping``), of a coordinate ``spatial_ref``, or an attribute
    ``crs``.

    Args:
        cube: An :class:`xarray.Dataset` with the dimensions time, y, x and perhaps band, as
            :func:`normalise` returns it.
        path: The file that it is opened from, or what to call it in messages.
        search: Which bands and dates to use.
    """
    layers = find_layers(cube, path, search)
    wanted = search.stored
    if not wanted:
        wanted = [name for name in layers if name not in search.wanted and isinstance(name, str)]
    bands = [_pick(layers, band, path) for band in wanted]
    types = {cube[layer.variable].dtype: layer.variable for layer in bands}
    dtype = next(iter(types))
    if len(types) > 1 or dtype.kind not in 'iuf':
        found = ', '.join(f'{kind} of {name}' for kind, name in types.items())
        raise ValueError(f'{path}: types {found}; expected numbers of one type in all bands')
    clouds = search.clouds
    if clouds is not None and clouds.rasters is not None:
        raise ValueError(f'{path}: clouds: rasters is set; expected a band of the cube')
    times = read_times(cube, path)
    places = choose_season(times, search.date_range)
    return CubeReader(
        grid=read_grid(cube, path, [layer.variable for layer in bands], search.crs),
        times=[times[place] for place in places],
        bands=[str(band) for band in wanted] if search.bands is None else search.band_names,
        num_bands=len(search.bands or bands),
        search=search,
        places=places,
        layers=bands,
        mask=None if clouds is None else _pick(layers, clouds.band, path),
    )


def find_layers(cube: Any, path: str, search: Search) -> dict[int | str, Layer]:
    """Find the bands by name; those along a dimension by number from 1 on as well."""
    dims = {str(name): set(one.dims) for name, one in cube.data_vars.items()}
    layers: dict[int | str, Layer] = {
        name: Layer(name, None) for name in dims if dims[name] == {'time', 'y', 'x'}
    }
    # A Zarr store lists its variables in the order of the file system.
    whole = sorted(name for name in dims if dims[name] == {'time', 'band', 'y', 'x'})
    if search.variable is not None:
        if search.variable not in whole:
            raise ValueError(f'{path}: variable={search.variable!r}; expected one of {whole}')
        whole = [search.variable]
    if len(whole) > 1:
        raise ValueError(f'{path}: several variables have bands; set variable to one of {whole}')
    for name in whole:
        numbers = range(1, cube.sizes['band'] + 1)
        labels = cube.band.values if 'band' in cube.coords else numbers
        layers.update((number, Layer(name, number - 1)) for number in numbers)
        layers.update((str(label), Layer(name, i)) for i, label in enumerate(labels))
    if not layers:
        raise ValueError(f'{path}: no variable has the dimensions time, y, x; it has {dims}')
    return layers


def _pick(layers: dict[int | str, Layer], band: int | str | None, path: str) -> Layer:
    layer = pick(layers, band)
    if layer is None:
        raise ValueError(f'{path}: no band {band!r}; expected one of {list(layers)}')
    return layer
