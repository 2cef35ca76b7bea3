"""Which files make up a series: where its dates and bands stand, and on which grid they lie."""

import glob
import os
import re
from collections.abc import Sequence
from datetime import datetime

from mmexact.datasets.rasters.cube import CUBES, open_cube
from mmexact.datasets.rasters.dates import DateFinder, choose_season
from mmexact.datasets.rasters.files import Plane, open_raster
from mmexact.datasets.rasters.reader import FileReader, RasterReader
from mmexact.datasets.rasters.settings import Search, pick
from mmexact.datasets.rasters.warp import align, finest

ITEMS = ('.json', '.geojson', '.parquet', '.geoparquet')
"""How the names of files with STAC items end."""

Bands = dict[int | str, Plane]
"""The planes of a date by number or name of the band."""


def find_series(root: str, pattern: str, search: Search) -> RasterReader:
    """Find the rasters of a series and read their headers.

    The finest raster of the first date defines the grid. The others are aligned to it when they are
    read: bilinearly, cloud masks by their nearest value.

    Args:
        root: Folder that ``pattern`` starts at.
        pattern: Glob pattern of the rasters ('**' stands for any folders), or of one cube, or of
            one file of STAC items.
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
    if paths[0].lower().endswith(ITEMS):
        if len(paths) > 1:
            raise ValueError(
                f'{os.path.join(root, pattern)}: {len(paths)} files of STAC items; expected one '
                f'per area, such as a catalog of all'
            )
        return _open_items(paths[0], search)
    finder = DateFinder(root, search)
    dates = _find_dates(paths, finder, search)
    planes = _choose_bands(dates, search)
    first = planes[0][0]
    for plane in (plane for date in planes for plane in date):
        if plane.dtype != first.dtype:
            raise ValueError(
                f'{plane.path}: type {plane.dtype} of band {plane.number} differs from '
                f'{first.dtype} of {first.path}; expected the same in all bands of a series'
            )
    grid = finest([plane.path for plane in planes[0]], search.crs)
    return FileReader(
        grid=grid,
        times=[time for time, _ in dates],
        bands=search.band_names,
        num_bands=len(search.bands or planes[0]),
        search=search,
        planes=[[align(plane, grid, search.crs) for plane in date] for date in planes],
        masks=[
            align(plane, grid, search.crs, codes=True)
            for plane in _find_clouds(root, dates, finder, search)
        ],
    )


def _open_items(path: str, search: Search) -> RasterReader:
    try:
        from mmexact.datasets.rasters.stac import open_items
    except ImportError as error:
        raise ValueError(
            f'{path}: STAC items are read with pystac and odc-stac, one of which is not installed '
            f"({error}): pip install 'mmexact[stac]'"
        ) from None
    return open_items(path, search)


def _glob(root: str, pattern: str) -> list[str]:
    paths = sorted(glob.glob(os.path.join(root, pattern), recursive=True))
    if not paths:
        raise FileNotFoundError(f'{os.path.abspath(os.path.join(root, pattern))}: no such rasters')
    return paths


def _find_dates(
    paths: Sequence[str], finder: DateFinder, search: Search
) -> list[tuple[datetime, Bands]]:
    """Find the planes of all dates of the season, in chronological order."""
    names: dict[str, str | None] = dict.fromkeys(paths)
    if search.band_pattern is not None and search.stack in (None, 'dates_file'):
        names = _names_of_files(paths, search.band_pattern, search.wanted)
    found: list[tuple[datetime, str, Bands]] = []
    for path, named in names.items():
        if search.stack is None:  # opened below, if it is of the season
            found.append((finder.of_file(path), path, {}))
            continue
        for plane in open_raster(path).planes(search.nodata).values():
            text, name = _text_and_name(plane, named, search)
            found.append((finder.of_band(path, plane.number, text), path, {name: plane}))
    # Files that have all bands are acquisitions of their own, even of the same time.
    spread = search.stack or search.band_pattern or search.by_name
    dates: dict[tuple[datetime, str], Bands] = {}
    for index in choose_season([time for time, _, _ in found], search.date_range):
        time, path, bands = found[index]
        known = dates.setdefault((time, '' if spread else path), {})
        for band, plane in (bands or _bands_of_file(path, names[path], search)).items():
            if band in known:
                raise ValueError(
                    f'{plane.path} and {known[band].path} both hold band {band} of {time}; if they '
                    f'are different acquisitions, date_pattern must find the time of day as well'
                )
            known[band] = plane
    return [(time, bands) for (time, _), bands in dates.items()]


def _names_of_files(
    paths: Sequence[str], pattern: str, wanted: Sequence[int | str]
) -> dict[str, str | None]:
    """Find the files that have a wanted band, and its name in theirs."""
    found = {path: _search(pattern, os.path.basename(path)) for path in paths}
    names: dict[str, str | None] = {
        path: name
        for path, name in found.items()
        if name is not None and any(pick({name: path}, band) for band in wanted)
    }
    if not names:
        raise ValueError(
            f'{os.path.dirname(paths[0])}: band_pattern={pattern!r} finds none of the bands '
            f'{sorted(map(str, wanted))} in the file names, such as {os.path.basename(paths[0])!r}'
        )
    return names


def _bands_of_file(path: str, name: str | None, search: Search) -> Bands:
    """Find the planes of a file of one date, or of one band if it has a name."""
    raster = open_raster(path)
    planes = raster.planes(search.nodata)
    if name is not None:
        return {name: planes[1]}
    if not search.by_name:
        return planes
    described = raster.described(search.nodata)
    if not described:
        raise ValueError(
            f'{path}: bands={search.bands}, but the bands of the file have no descriptions; set '
            f'bands to numbers, or band_pattern if the names of the bands stand in the names of '
            f'the files'
        )
    return described


def _text_and_name(plane: Plane, named: str | None, search: Search) -> tuple[str, int | str]:
    """Return the text of a band of a stack that has its date, and the name of the band."""
    if search.stack == 'dates_file':
        return '', named or 1
    raster = open_raster(plane.path).file
    tags = raster.tags(plane.number)
    text = tags.get(str(search.stack))
    if search.stack == 'description':
        text = raster.descriptions[plane.number - 1]
    if text is None:
        raise ValueError(
            f'{plane.path}: band {plane.number} has no {search.stack}; expected the date and the '
            f"name of the band in it (stack={search.stack!r}); set stack to 'description', to "
            f"'dates_file', or to a tag, one of {sorted(tags)}"
        )
    name = 1 if search.band_pattern is None else _search(search.band_pattern, text)
    if name is None:
        raise ValueError(
            f'{plane.path}: no name in {search.stack} {text!r} of band {plane.number} by '
            f'band_pattern={search.band_pattern!r}'
        )
    return text, name


def _search(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match['band'] if match else None


def _choose_bands(dates: Sequence[tuple[datetime, Bands]], search: Search) -> list[list[Plane]]:
    """Bring the planes of each date into the order of the bands."""
    wanted = search.stored
    (_, first), *_ = dates
    if not wanted:
        wanted = [band for band in first if band not in search.wanted]
        for time, bands in dates:
            if len(bands) != len(first):
                raise ValueError(
                    f'{_path(bands)}: band count {len(bands)} at {time} differs from {len(first)} '
                    f'of {_path(first)}; set bands to those that all have'
                )
    seen = {band: [str(time) for time, bands in dates if pick(bands, band)] for band in wanted}
    if all(seen.values()) and not set.intersection(*map(set, seen.values())):
        there = '; '.join(f'{band} is of {", ".join(times)}' for band, times in seen.items())
        raise ValueError(f'{_path(first)}: no date has all of the bands: {there}')
    return [[_pick(time, bands, band) for band in wanted] for time, bands in dates]


def _pick(time: datetime, bands: Bands, band: int | str | None) -> Plane:
    plane = pick(bands, band)
    if plane is None:
        raise ValueError(
            f'{_path(bands)}: of {time} there is no band {band!r}, only {list(bands)}; add it, '
            f'leave the date out with date_range, or set bands to those that all dates have'
        )
    return plane


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
