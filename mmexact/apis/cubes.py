"""Cubes of xarray in memory: read as those in files are, and maps of them with coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmexact.datasets.rasters.cube import CubeReader, find_layers, read_cube
from mmexact.datasets.rasters.cube_coordinates import DIMENSIONS, normalise
from mmexact.datasets.rasters.settings import Search, pick

OF_VALUES = ('nodata', 'crs', 'clouds', 'offset')
"""Settings of a ``search`` that hold whatever file the values come from."""


def read_given(
    series: Any,
    name: str,
    bands: Sequence[int | str] | None,
    search: Mapping[str, Any],
    gaps: str,
) -> CubeReader:
    """Make the reader of a cube in memory, or of one that xarray reads on demand.

    Args:
        series: A DataArray or Dataset, see :func:`~mmexact.datasets.rasters.cube.read_cube`.
        name: What to call it in messages.
        bands: Names or numbers of the bands to read, in their order; None reads all.
        search: Settings of the training, of which those of values hold. A cloud mask that the cube
            does not have is left out.
        gaps: What becomes of what was not observed, 'interpolate' or 'pad'.

    Raises:
        ValueError: It lacks a band, dates or coordinates.
    """
    cube = normalise(_dataset(series), name)
    settings = {key: search[key] for key in OF_VALUES if search.get(key) is not None}
    if hasattr(series, 'data_vars') and search.get('variable') in cube.data_vars:
        settings['variable'] = search['variable']
    found = Search.parse(settings | dict(bands=None if bands is None else list(bands)))
    clouds = found.clouds
    if clouds and (clouds.rasters or not pick(find_layers(cube, name, found), clouds.band)):
        found = replace(found, clouds=None)
    return replace(read_cube(cube, name, found), cube=cube, gaps=gaps)


def with_coordinates(plane: np.ndarray, series: Any, classes: Sequence[str]) -> Any:
    """Give a map the dimensions and coordinates of the cube that it was made of.

    Args:
        plane: Classes uint8 (H, W), or a number for each class (K, H, W), north up.
        series: The cube.
        classes: Names of the classes.

    Returns:
        A DataArray. That of classes tells their names as CF conventions do (``flag_values`` and
        ``flag_meanings``), the other one along the dimension ``class``.
    """
    import xarray

    cube = normalise(_dataset(series), 'series')
    coords = {key: one for key, one in cube.coords.items() if {*one.dims} <= {'y', 'x'}}
    if plane.ndim == 3:
        coords['class'] = list(classes)
        array = xarray.DataArray(plane, coords, ('class', 'y', 'x'), 'probability')
    else:
        meanings = ' '.join(name.replace(' ', '_') for name in classes)
        attrs = dict(flag_values=np.arange(len(classes), dtype=np.uint8), flag_meanings=meanings)
        array = xarray.DataArray(plane, coords, ('y', 'x'), 'class', attrs)
    names = {role: next(one for one in DIMENSIONS[role] if one in series.sizes) for role in 'yx'}
    array = array.rename({role: one for role, one in names.items() if role != one})
    return array.sel({names['y']: series[names['y']]})  # south up again where the cube is


def _dataset(series: Any) -> Any:
    """Return a Dataset, also of a DataArray."""
    if hasattr(series, 'data_vars'):
        return series
    return series.to_dataset(name=series.name or 'series')
