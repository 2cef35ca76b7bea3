"""Writers of cubes and stacks for the tests: the same series in other forms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray
from rasterio.crs import CRS

from tests.data import CORNER


def make_cube(
    values: np.ndarray,
    bands: Sequence[str],
    times: Sequence[str],
    south_up: bool = False,
    crs: str | None = 'EPSG:32633',
) -> xarray.Dataset:
    """Make a cube of (T, C, H, W) on the grid of the fake rasters."""
    height, width = values.shape[2:]
    x = CORNER.c + CORNER.a * (np.arange(width) + 0.5)
    y = CORNER.f + CORNER.e * (np.arange(height) + 0.5)
    coordinates = dict(
        time=np.array(times, 'datetime64[ns]'),
        band=list(bands),
        y=y[::-1] if south_up else y,
        x=x,
    )
    values = values[:, :, ::-1] if south_up else values
    cube = xarray.Dataset(
        dict(reflectance=(('time', 'band', 'y', 'x'), np.ascontiguousarray(values))), coordinates
    )
    if crs is not None:
        wkt = CRS.from_user_input(crs).to_wkt()
        cube = cube.assign_coords(spatial_ref=((), 0, dict(crs_wkt=wkt)))
        cube['reflectance'].attrs['grid_mapping'] = 'spatial_ref'
    return cube


def write_cube(path: Path, cube: xarray.Dataset) -> Path:
    """Write a cube as Zarr or NetCDF, after the ending of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.zarr':
        chunks = {name: dict(chunks=(1, *one.shape[1:])) for name, one in cube.data_vars.items()}
        cube.to_zarr(path, encoding=chunks, consolidated=False)
    else:
        cube.to_netcdf(path, engine='h5netcdf')
    return path
