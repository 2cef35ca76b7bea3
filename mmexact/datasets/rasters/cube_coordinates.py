"""The coordinates of a data cube: its dimensions, dates, grid and coordinate reference system.

A cube is an :class:`xarray.Dataset` here; what is wrong with one raises ValueError.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

DIMENSIONS = {
    'time': ('time', 't'),
    'band': ('band', 'bands', 'variable'),
    'y': ('y', 'lat', 'latitude', 'northing'),
    'x': ('x', 'lon', 'longitude', 'easting'),
}
"""Names that the dimensions may have."""


def find_dims(cube: Any, path: str) -> tuple[str, str, str, str]:
    """Return the names of the dimensions time, band, y and x."""
    found = []
    for role, names in DIMENSIONS.items():
        name = next((name for name in names if name in cube.sizes), None)
        if name is None and role != 'band':
            raise ValueError(
                f'{path}: dimensions {dict(cube.sizes)}; expected time, y, x and perhaps band, '
                f'and {role} is none of {names}'
            )
        found.append(name or 'band')
    return found[0], found[1], found[2], found[3]


def read_times(cube: Any, path: str, dim: str) -> list[datetime]:
    """Return when the dates along a dimension were taken."""
    values = cube[dim].values if dim in cube.coords else None
    if values is None or values.dtype.kind != 'M' or np.isnat(values).any():
        raise ValueError(
            f'{path}: {dim} has no dates, but {values}; expected a coordinate of dates, such as '
            f"'days since 2017-01-01' of the CF conventions"
        )
    return values.astype('datetime64[us]').astype(datetime).tolist()


def read_axis(cube: Any, path: str, dim: str) -> tuple[float, float]:
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


def read_crs(cube: Any, path: str, variables: Sequence[str], given: str | None) -> str | None:
    """Return the coordinate reference system of variables as WKT; ``given`` if there is none."""
    places = [cube[name] for name in variables]
    mappings = [one.encoding.get('grid_mapping', one.attrs.get('grid_mapping')) for one in places]
    coordinates = [name for name in (*mappings, 'spatial_ref', 'crs') if name in cube.variables]
    attributes = [cube[name].attrs for name in coordinates]
    found = [
        text
        for attrs in (*attributes, *(one.attrs for one in places), cube.attrs)
        for text in map(attrs.get, ('crs_wkt', 'spatial_ref', 'crs'))
        if text is not None
    ]
    text = found[0] if found else given
    if text is None:
        return None
    try:
        return CRS.from_user_input(text).to_wkt()
    except CRSError as error:
        raise ValueError(f'{path}: CRS {text!r}: {error}') from None
