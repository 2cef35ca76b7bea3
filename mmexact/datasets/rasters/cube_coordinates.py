"""The coordinates of a data cube: its dimensions, dates, grid and coordinate reference system.

A cube is an :class:`xarray.Dataset` here; what is wrong with one raises ValueError.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from mmexact.datasets.rasters.files import Grid

DIMENSIONS = {
    'time': ('time', 't'),
    'band': ('band', 'bands', 'variable'),
    'y': ('y', 'lat', 'latitude', 'northing'),
    'x': ('x', 'lon', 'longitude', 'easting'),
}
"""Names that the dimensions may have."""


DEGREES = ('degrees_east', 'degree_east', 'degreesE')
"""Units that say, by the CF conventions, that x is a longitude."""


def normalise(cube: Any, path: str) -> Any:
    """Name the dimensions time, band, y and x, and put the northernmost row first."""
    found = {}
    for role, names in DIMENSIONS.items():
        name = next((dim for name in names for dim in cube.sizes if str(dim).lower() == name), None)
        if name is not None:
            found[name] = role
        elif role != 'band':
            raise ValueError(
                f'{path}: dimensions {dict(cube.sizes)}; expected time, y, x and perhaps band, '
                f'and {role} is none of {names}'
            )
    renamed = {name: role for name, role in found.items() if name != role}
    # A scalar or a second coordinate may have the name already; the dimension's own one counts.
    cube = cube.drop_vars([role for role in renamed.values() if role in cube.variables])
    cube = cube.rename(renamed)
    if 'y' in cube.coords and cube.y.values[0] < cube.y.values[-1]:
        cube = cube.isel(y=slice(None, None, -1))
    return cube


def read_times(cube: Any, path: str) -> list[datetime]:
    """Return when the dates were taken."""
    values = cube.time.values if 'time' in cube.coords else None
    if values is None or values.dtype.kind != 'M' or np.isnat(values).any():
        raise ValueError(
            f'{path}: time has no dates, but {values}; expected a coordinate of dates, such as '
            f"'days since 2017-01-01' of the CF conventions"
        )
    times: list[datetime] = values.astype('datetime64[us]').astype(datetime).tolist()
    return times


def read_grid(cube: Any, path: str, variables: Sequence[str], crs: str | None) -> Grid:
    """Return the grid of variables; ``crs`` holds if they declare none."""
    left, across = _axis(cube, path, 'x')
    top, down = _axis(cube, path, 'y')
    if across < 0:
        raise ValueError(f'{path}: x descends; expected coordinates from west to east')
    transform = Affine(across, 0, left - across / 2, 0, down, top - down / 2)
    size = cube.sizes['y'], cube.sizes['x']
    return Grid(path, size, _crs(cube, path, variables, crs), transform)


def _axis(cube: Any, path: str, dim: str) -> tuple[float, float]:
    """Return the first coordinate of a dimension and the distance between them."""
    if dim not in cube.coords or cube.sizes[dim] < 2:
        raise ValueError(
            f'{path}: {dim} has no coordinates, or only one; expected those of the centres of '
            f'at least two pixels'
        )
    values = cube[dim].values.astype(float)
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not step or np.abs(np.diff(values) - step).max() > 0.01 * abs(step):
        raise ValueError(f'{path}: {dim} is not evenly spaced; expected a regular grid')
    return float(values[0]), float(step)


def _crs(cube: Any, path: str, variables: Sequence[str], given: str | None) -> CRS | None:
    places = [cube[name] for name in variables]
    mappings = [one.encoding.get('grid_mapping', one.attrs.get('grid_mapping')) for one in places]
    coordinates = [name for name in (*mappings, 'spatial_ref', 'crs') if name in cube.variables]
    told = (*(cube[name] for name in coordinates), *places, cube)
    found = [one.attrs.get(name) for one in told for name in ('crs_wkt', 'spatial_ref', 'crs')]
    text = next((text for text in found if text is not None), given)
    if text is None and cube['x'].attrs.get('units') in DEGREES:
        text = 'EPSG:4326'
    try:
        return None if text is None else CRS.from_user_input(text)
    except CRSError as error:
        raise ValueError(f'{path}: CRS {text!r}: {error}') from None
