"""Which files make up a series: where its dates and bands stand, and on which grid they lie."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from mmexact.datasets.rasters.cube import CUBES, open_cube
from mmexact.datasets.rasters.dates import DateFinder, choose_season, read_dates_file
from mmexact.datasets.rasters.files import open_raster
from mmexact.datasets.rasters.grid import grid_of, place
from mmexact.datasets.rasters.planes import FilePlanes, Plane
from mmexact.datasets.rasters.series import RasterSeries
from mmexact.datasets.rasters.settings import Search, read_search

Bands = dict[int | str, Plane]
"""The planes of a date by number or name of the band."""

Dated = tuple[datetime, int | str, Plane]
"""When a plane was taken, its band, and where it is."""


def find_series(root: str, pattern: str, settings: Mapping[str, Any]) -> RasterSeries:
    """Find the rasters of a series and read their headers.

    The finest raster of the first date defines the grid. The others lie on it, or are coarser and
    cover the area; then they are interpolated bilinearly, cloud masks by their nearest value.

    Args:
        root: Folder that ``pattern`` starts at.
        pattern: Glob pattern of the rasters ('**' stands for any folders), or of one cube.
        settings: Those of :class:`~mmexact.datasets.rasters.settings.Search`.

    Returns:
        The series in chronological order; several acquisitions of a day are all kept.

    Raises:
        FileNotFoundError: No file matches.
        ValueError: A file has no date, a band is missing, or the files do not agree.
    """
    search = read_search(settings)
    paths = _glob(root, pattern)
    if paths[0].endswith(CUBES):
        if len(paths) > 1:
            raise ValueError(
                f'{os.path.join(root, pattern)}: {len(paths)} cubes; expected one per area'
            )
        return open_cube(paths[0], search)
    listed = None
    if search.dates_file is not None:
        listed = read_dates_file(os.path.join(root, search.dates_file), search.date_pattern)
    finder = DateFinder(root, search.date_pattern, search.date_tag, listed)
    dates = _find_dates(paths, finder, search)
    times = tuple(time for time, _ in dates)
    bands = _choose_bands(dates, search)
    clouds = _find_clouds(root, dates, finder, search)
    first = min(bands[0], key=lambda plane: abs(open_raster(plane.path).transform.determinant))
    grid = grid_of(first.path, search.crs)
    places = {
        path: place(path, grid, search.crs)
        for path in dict.fromkeys(plane.path for planes in bands for plane in planes)
    }
    for path in dict.fromkeys(plane.path for plane in clouds):
        places[path] = place(path, grid, search.crs, finer=True)
    _check_types([plane for planes in bands for plane in planes])
    return RasterSeries(
        **vars(grid),
        times=times,
        num_bands=len(bands[0]),
        planes=FilePlanes(
            bands=bands,
            clouds=clouds,
            placements={path: there for path, there in places.items() if there is not None},
            nodata=search.nodata,
        ),
        clouds=search.clouds,
        offset=search.offset,
    )


def _glob(root: str, pattern: str) -> list[str]:
    paths = sorted(glob.glob(os.path.join(root, pattern), recursive=True))
    if not paths:
        raise FileNotFoundError(f'{os.path.abspath(os.path.join(root, pattern))}: no such rasters')
    return paths


def _find_dates(
    paths: Sequence[str], finder: DateFinder, search: Search
) -> list[tuple[datetime, Bands]]:
    """Find the planes of all dates of the season, in chronological order."""
    if search.stack is not None:
        return _merge(_within(_stacked(paths, finder, search), search))
    if search.band_pattern is not None:
        return _merge(_within(_named(paths, finder, search, search.band_pattern), search))
    files = _within([(finder.of_file(path), 1, Plane(path, 1)) for path in paths], search)
    if any(isinstance(band, str) for band in search.bands or ()):
        return _merge(_described(files, search))
    return [
        (time, {number: Plane(file.path, number) for number in open_raster(file.path).indexes})
        for time, _, file in files
    ]


def _named(paths: Sequence[str], finder: DateFinder, search: Search, pattern: str) -> list[Dated]:
    """Find the planes of files that hold one band each, named in their names."""
    bands = {path: _search(pattern, os.path.basename(path)) for path in paths}
    wanted = _wanted(search)
    if not wanted & set(bands.values()):
        raise ValueError(
            f'{os.path.dirname(paths[0])}: band_pattern={pattern!r} finds none of the bands '
            f'{sorted(map(str, wanted))} in the file names, such as {os.path.basename(paths[0])!r}'
        )
    return [
        (finder.of_file(path), band, Plane(path, 1))
        for path, band in bands.items()
        if band is not None and band in wanted
    ]


def _described(files: Sequence[Dated], search: Search) -> list[Dated]:
    """Find the planes of files of one date whose bands are named in their descriptions."""
    found: list[Dated] = []
    for time, _, (path, _) in files:
        described = [
            (time, name, Plane(path, number))
            for number, name in enumerate(open_raster(path).descriptions, 1)
            if name
        ]
        if not described:
            raise ValueError(
                f'{path}: bands={search.bands}, but the bands of the file have no descriptions; '
                f'set bands to numbers, or band_pattern if the names of the bands stand in the '
                f'names of the files'
            )
        found.extend(described)
    return found


def _stacked(paths: Sequence[str], finder: DateFinder, search: Search) -> list[Dated]:
    """Find the planes of files that hold several dates."""
    found: list[Dated] = []
    for path in paths:
        raster = open_raster(path)
        for number, description in zip(raster.indexes, raster.descriptions, strict=True):
            tags = raster.tags(number)
            text = description if search.stack == 'description' else tags.get(str(search.stack))
            if text is None:
                raise ValueError(
                    f'{path}: band {number} has no {search.stack}; expected the date and the name '
                    f"of the band in it (stack={search.stack!r}); set stack to 'description' or "
                    f'to a tag, one of {sorted(tags)}'
                )
            name: int | str | None = 1
            if search.band_pattern is not None:
                name = _search(search.band_pattern, text)
            if name is None:
                raise ValueError(
                    f'{path}: no name in {search.stack} {text!r} of band {number} by '
                    f'band_pattern={search.band_pattern!r}'
                )
            found.append((finder.of_band(path, number, text), name, Plane(path, number)))
    return found


def _search(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match['band'] if match else None


def _wanted(search: Search) -> set[int | str | None]:
    """Return the bands to read, that of the cloud mask included."""
    own = search.clouds is not None and search.clouds.rasters is None
    return {*(search.bands or ()), *([search.clouds.band] if search.clouds and own else [])}


def _within(planes: list[Dated], search: Search) -> list[Dated]:
    planes = sorted(planes, key=lambda plane: (plane[0], plane[2]))
    times = [time for time, _, _ in planes]
    return [planes[index] for index in choose_season(times, search.date_range)]


def _merge(planes: list[Dated]) -> list[tuple[datetime, Bands]]:
    """Collect the bands of each date."""
    dates = []
    for time, group in groupby(planes, key=lambda plane: plane[0]):
        bands: Bands = {}
        for _, band, plane in group:
            if band in bands:
                raise ValueError(
                    f'{plane.path} and {bands[band].path} both hold band {band} of {time}; if they '
                    f'are different acquisitions, date_pattern must find the time of day as well'
                )
            bands[band] = plane
        dates.append((time, bands))
    return dates


def _choose_bands(
    dates: list[tuple[datetime, Bands]], search: Search
) -> tuple[tuple[Plane, ...], ...]:
    """Bring the planes of each date into the order of the bands."""
    wanted: Sequence[int | str] | None = search.bands
    if wanted is None:
        mask = _wanted(search)
        wanted = [band for band in dates[0][1] if band not in mask]
        for time, bands in dates:
            if len(bands) != len(dates[0][1]):
                raise ValueError(
                    f'{_path(bands)}: band count {len(bands)} at {time} differs from '
                    f'{len(dates[0][1])} of {_path(dates[0][1])}; set bands to those that all have'
                )
    return tuple(tuple(_pick(time, bands, band) for band in wanted) for time, bands in dates)


def _pick(time: datetime, bands: Bands, band: int | str | None) -> Plane:
    if band not in bands:
        raise ValueError(
            f'{_path(bands)}: of {time} there is no band {band!r}, only {list(bands)}; add it, '
            f'leave the date out with date_range, or set bands to those that all dates have'
        )
    return bands[band]


def _path(bands: Bands) -> str:
    return next((plane.path for plane in bands.values()), 'no file')


def _find_clouds(
    root: str, dates: list[tuple[datetime, Bands]], finder: DateFinder, search: Search
) -> tuple[Plane, ...]:
    """Find the plane of the cloud mask of each date; none without clouds."""
    clouds = search.clouds
    if clouds is None:
        return ()
    if clouds.rasters is None:
        return tuple(_pick(time, bands, clouds.band) for time, bands in dates)
    masks = {finder.of_file(path): path for path in _glob(root, clouds.rasters)}
    found = []
    for time, _ in dates:
        if time not in masks:
            raise ValueError(
                f'{os.path.join(root, clouds.rasters)}: no cloud mask of {time}, only of '
                f'{", ".join(map(str, sorted(masks)))}; add it, or leave the date out with '
                f'date_range'
            )
        raster = open_raster(masks[time])
        planes = {number: Plane(masks[time], number) for number in raster.indexes}
        named = zip(raster.descriptions, planes.values(), strict=True)
        bands: Bands = {**planes, **{name: plane for name, plane in named if name}}
        found.append(_pick(time, bands, clouds.band or 1))
    return tuple(found)


def _check_types(planes: Sequence[Plane]) -> None:
    """Refuse bands of different types."""
    types = {path: open_raster(path).dtypes for path in {plane.path for plane in planes}}
    first = types[planes[0].path][planes[0].number - 1]
    for path, number in planes:
        kind = types[path][number - 1]
        if kind != first:
            raise ValueError(
                f'{path}: type {kind} of band {number} differs from {first} of {planes[0].path}; '
                f'expected the same in all bands of a series'
            )
