"""Which files make up a series: where its dates and bands stand, and on which grid they lie."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from mmexact.datasets.rasters.cube import CUBES, open_cube
from mmexact.datasets.rasters.dates import DateFinder, choose_season
from mmexact.datasets.rasters.files import Plane, open_raster
from mmexact.datasets.rasters.reader import FileReader, RasterReader
from mmexact.datasets.rasters.settings import Search
from mmexact.datasets.rasters.warp import align, finest

Bands = dict[int | str, Plane]
"""The planes of a date by number or name of the band."""


def find_series(root: str, pattern: str, search: Search) -> RasterReader:
    """Find the rasters of a series and read their headers.

    The finest raster of the first date defines the grid. The others are aligned to it when they are
    read: bilinearly, cloud masks by their nearest value.

    Args:
        root: Folder that ``pattern`` starts at.
        pattern: Glob pattern of the rasters ('**' stands for any folders), or of one cube.
        search: Which bands and dates to use.

    Returns:
        The series in chronological order; several acquisitions of a day are all kept.

    Raises:
        FileNotFoundError: No file matches.
        ValueError: A file has no date, a band is missing, or the files do not agree.
    """
    paths = _glob(root, pattern)
    if paths[0].endswith(CUBES):
        if len(paths) > 1:
            raise ValueError(
                f'{os.path.join(root, pattern)}: {len(paths)} cubes; expected one per area'
            )
        return open_cube(paths[0], search)
    finder = DateFinder(root, search)
    dates = _find_dates(paths, finder, search)
    planes = _choose_bands(dates, search)
    _check_types([plane for date in planes for plane in date])
    grid = finest([plane.path for plane in planes[0]], search.crs)
    return FileReader(
        grid=grid,
        times=[time for time, _ in dates],
        bands=search.band_names,
        num_bands=len(planes[0]),
        search=search,
        planes=[[align(plane, grid, search.crs) for plane in date] for date in planes],
        masks=[
            align(plane, grid, search.crs, codes=True)
            for plane in _find_clouds(root, dates, finder, search)
        ],
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
    find = _in_stacks if search.stack is not None else _in_files
    # Files that have all bands are acquisitions of their own, even of the same time.
    spread = search.stack or search.band_pattern or search.band_names
    dates: list[tuple[datetime, Bands]] = []
    for time, bands in find(paths, finder, search):
        if not spread or not dates or time != dates[-1][0]:
            dates.append((time, {}))
        known = dates[-1][1]
        for band in bands:
            if band in known:
                raise ValueError(
                    f'{bands[band].path} and {known[band].path} both hold band {band} of {time}; '
                    f'if they are different acquisitions, date_pattern must find the time of day '
                    f'as well'
                )
        known.update(bands)
    return dates


def _in_files(
    paths: Sequence[str], finder: DateFinder, search: Search
) -> Iterator[tuple[datetime, Bands]]:
    """Find the planes of files of one date each."""
    names: dict[str, str | None] = dict.fromkeys(paths)
    if search.band_pattern is not None:
        names = {path: _search(search.band_pattern, os.path.basename(path)) for path in paths}
        found = [path for path, name in names.items() if name in search.wanted]
        if not found:
            raise ValueError(
                f'{os.path.dirname(paths[0])}: band_pattern={search.band_pattern!r} finds none of '
                f'the bands {sorted(map(str, search.wanted))} in the file names, such as '
                f'{os.path.basename(paths[0])!r}'
            )
        paths = found
    times = [finder.of_file(path) for path in paths]
    for index in choose_season(times, search.date_range):
        path = paths[index]
        raster, name = open_raster(path), names[path]
        bands = raster.planes(search.nodata)
        if name is not None:
            bands = {name: bands[1]}
        elif search.band_names is not None:
            bands = raster.described(search.nodata)
            if not bands:
                raise ValueError(
                    f'{path}: bands={search.bands}, but the bands of the file have no '
                    f'descriptions; set bands to numbers, or band_pattern if the names of the '
                    f'bands stand in the names of the files'
                )
        yield times[index], bands


def _in_stacks(
    paths: Sequence[str], finder: DateFinder, search: Search
) -> Iterator[tuple[datetime, Bands]]:
    """Find the planes of files that hold several dates."""
    found: list[tuple[datetime, Bands]] = []
    for path in paths:
        planes = open_raster(path).planes(search.nodata).values()
        texts = _texts(path, str(search.stack))
        for plane, text in zip(planes, texts, strict=True):
            name: int | str | None = 1
            if search.band_pattern is not None:
                name = _search(search.band_pattern, text)
            if name is None:
                raise ValueError(
                    f'{path}: no name in {search.stack} {text!r} of band {plane.number} by '
                    f'band_pattern={search.band_pattern!r}'
                )
            found.append((finder.of_band(path, plane.number, text), {name: plane}))
    for index in choose_season([time for time, _ in found], search.date_range):
        yield found[index]


def _texts(path: str, stack: str) -> list[str]:
    """Return the text of each band of a stack that names it."""
    raster = open_raster(path).file
    if stack == 'dates_file':
        return [os.path.basename(path)] * raster.count
    texts = [raster.tags(number).get(stack) for number in raster.indexes]
    if stack == 'description':
        texts = list(raster.descriptions)
    for number, text in enumerate(texts, 1):
        if text is None:
            raise ValueError(
                f'{path}: band {number} has no {stack}; expected the date and the name of the band '
                f"in it (stack={stack!r}); set stack to 'description', to 'dates_file', or to a "
                f'tag, one of {sorted(raster.tags(number))}'
            )
    return [text for text in texts if text is not None]


def _search(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match['band'] if match else None


def _choose_bands(dates: Sequence[tuple[datetime, Bands]], search: Search) -> list[list[Plane]]:
    """Bring the planes of each date into the order of the bands."""
    wanted: list[int | str] = list(search.bands or ())
    if not wanted:
        wanted = [band for band in dates[0][1] if band not in search.wanted]
        for time, bands in dates:
            if len(bands) != len(dates[0][1]):
                raise ValueError(
                    f'{_path(bands)}: band count {len(bands)} at {time} differs from '
                    f'{len(dates[0][1])} of {_path(dates[0][1])}; set bands to those that all have'
                )
    seen = {band: [str(time) for time, bands in dates if band in bands] for band in wanted}
    if all(seen.values()) and not any(set(wanted) <= set(bands) for _, bands in dates):
        there = '; '.join(f'{band} is of {", ".join(times)}' for band, times in seen.items())
        raise ValueError(f'{_path(dates[0][1])}: no date has all of the bands: {there}')
    return [[_pick(time, bands, band) for band in wanted] for time, bands in dates]


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
    root: str, dates: Sequence[tuple[datetime, Bands]], finder: DateFinder, search: Search
) -> list[Plane]:
    """Find the plane of the cloud mask of each date; none without clouds."""
    clouds = search.clouds
    if clouds is None:
        return []
    if clouds.rasters is None:
        found = [_pick(time, bands, clouds.band) for time, bands in dates]
        return [plane._replace(nodata=None) for plane in found]
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
        found.append(_pick(time, raster.planes() | raster.described(), clouds.band or 1))
    return found


def _check_types(planes: Sequence[Plane]) -> None:
    """Refuse bands of different types."""
    first = planes[0]
    for plane in planes:
        if plane.dtype != first.dtype:
            raise ValueError(
                f'{plane.path}: type {plane.dtype} of band {plane.number} differs from '
                f'{first.dtype} of {first.path}; expected the same in all bands of a series'
            )
