"""Which rasters make up a series: files by pattern, dates from names or tags, one common grid."""

import glob
import os
import re
from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby

import numpy as np

from mmexact.datasets.raster_files import RasterSeries, open_raster

DATE_PATTERN = (
    r'(?<!\d)(?P<year>(?:19|20)\d\d)[-:._/]?(?P<month>0[1-9]|1[0-2])[-:._/]?(?P<day>[0-3]\d)'
    r'(?:[T _-](?P<hour>[01]\d|2[0-3]):?(?P<minute>[0-5]\d):?(?P<second>[0-5]\d))?(?!\d)'
)
"""YYYYMMDD or YYYY-MM-DD (or with ':', '.', '_', '/'), optionally followed by a time."""

Dated = tuple[datetime, str]
"""When a raster was taken, and its path."""


def find_series(
    root: str,
    pattern: str,
    bands: Sequence[int] | Sequence[str] | None = None,
    band_pattern: str | None = None,
    date_pattern: str = DATE_PATTERN,
    date_tag: str | None = None,
    date_range: Sequence[str] | None = None,
    nodata: float | None = None,
) -> RasterSeries:
    """Find the rasters of a series and read their headers.

    Args:
        root: Folder that ``pattern`` starts at.
        pattern: Glob pattern of the rasters; '**' stands for any folders.
        bands: With one file per date, the bands to use, counted from 1; all by default. With one
            file per date and band, the names of the bands in the order wanted.
        band_pattern: Regular expression with the group ``band`` for the file name; says that there
            is one file per date and band.
        date_pattern: Regular expression as for :func:`parse_date`.
        date_tag: Tag of the rasters that has the date, instead of their name.
        date_range: First and last day to use ('YYYY-MM-DD'), both included.
        nodata: Value that counts as missing besides what the files declare.

    Returns:
        The series in chronological order; several acquisitions of a day are all kept.

    Raises:
        FileNotFoundError: No file matches.
        ValueError: A file has no date, a band is missing, or the files do not agree.
    """
    paths = sorted(glob.glob(os.path.join(root, pattern), recursive=True))
    if not paths:
        raise FileNotFoundError(f'{os.path.abspath(os.path.join(root, pattern))}: no such rasters')
    kind = int if band_pattern is None else str
    if (bands is None and band_pattern) or not all(isinstance(band, kind) for band in bands or ()):
        raise ValueError(
            f'bands={bands} with band_pattern={band_pattern!r}; expected numbers from 1 on without '
            f'a band_pattern, and names of bands with one'
        )
    if band_pattern is not None:
        paths = [path for path in paths if _band_of(path, band_pattern) in (bands or ())]
        if not paths:
            raise ValueError(
                f'{os.path.join(root, pattern)}: band_pattern={band_pattern!r} finds none of the '
                f'bands {tuple(bands or ())} in the file names'
            )
    dated = sorted((_time_of(path, root, date_pattern, date_tag), path) for path in paths)
    dated = _within(dated, date_range)
    files: tuple[tuple[str, ...], ...]
    if band_pattern is None:
        files = tuple((path,) for _, path in dated)
        times = tuple(time for time, _ in dated)
    else:
        dates = [list(group) for _, group in groupby(dated, key=lambda item: item[0])]
        files = tuple(_by_band(group, band_pattern, bands or ()) for group in dates)
        times = tuple(group[0][0] for group in dates)
    first = files[0][0]
    for date_files in files:
        for path in date_files:
            _check_alike(path, first)
    raster = open_raster(first)
    read = tuple(int(band) for band in bands or raster.indexes) if band_pattern is None else (1,)
    if not set(read) <= set(raster.indexes):
        raise ValueError(f'{first}: bands={read}, but the file has bands 1 to {raster.count}')
    return RasterSeries(
        files=files,
        times=times,
        bands=read,
        num_bands=len(read) * len(files[0]),
        size=raster.shape,
        crs=raster.crs.to_wkt() if raster.crs else None,
        transform=raster.transform,
        nodata=nodata,
    )


def parse_date(text: str, pattern: str) -> datetime | None:
    """Find a date in a text.

    Args:
        text: A file name or the value of a tag.
        pattern: Regular expression with the named groups ``year`` and either ``month`` and ``day``
            or ``day_of_year``; optionally ``hour``, ``minute``, ``second``.

    Returns:
        The date, or None when there is none.

    Raises:
        ValueError: What was found is no date of the calendar.
    """
    match = re.search(pattern, text)
    if match is None:
        return None
    found = {key: int(value) for key, value in match.groupdict().items() if value is not None}
    if 'day_of_year' not in found:
        return datetime(**found)  # type: ignore[arg-type]
    numbers = f'{found.pop("year")} {found.pop("day_of_year")}'
    return datetime.strptime(numbers, '%Y %j').replace(**found)  # type: ignore[arg-type]


def _time_of(path: str, root: str, pattern: str, tag: str | None) -> datetime:
    """Find out when a raster was taken, from a tag, or from its name, else from its folders."""
    if tag is None:
        texts = [os.path.basename(path), os.path.relpath(path, root)]
        where = f'its name {texts[1]!r}'
    else:
        tags = open_raster(path).tags()
        texts = [tags.get(tag, '')]
        where = f'its tag {tag}={texts[0]!r} (it has the tags {sorted(tags)})'
    try:
        times = [parse_date(text, pattern) for text in texts]
    except (ValueError, TypeError) as error:
        raise ValueError(f'{path}: the date in {where}: {error}') from None
    for time in times:
        if time is not None:
            return time
    raise ValueError(
        f'{path}: no date in {where}; set date_pattern to a regular expression with the groups '
        f'year, month and day (or day_of_year), or date_tag to the tag that has the date'
    )


def _within(dated: list[Dated], date_range: Sequence[str] | None) -> list[Dated]:
    """Keep what was taken within ``date_range``, both days included."""
    if date_range is None:
        return dated
    try:
        start, end = (date.fromisoformat(day) for day in date_range)
    except ValueError as error:
        raise ValueError(
            f"date_range={tuple(date_range)}: {error}; expected ('YYYY-MM-DD', 'YYYY-MM-DD')"
        ) from None
    chosen = [item for item in dated if start <= item[0].date() <= end]
    if not chosen:
        raise ValueError(
            f'date_range={tuple(date_range)}: no raster; they were taken from '
            f'{dated[0][0].date()} to {dated[-1][0].date()}'
        )
    return chosen


def _band_of(path: str, pattern: str) -> str | None:
    match = re.search(pattern, os.path.basename(path))
    return match['band'] if match else None


def _by_band(dated: list[Dated], pattern: str, bands: Sequence) -> tuple[str, ...]:
    """Bring the files of one date into the order of the bands."""
    time = dated[0][0]
    found: dict[str | None, str] = {}
    for _, path in dated:
        band = _band_of(path, pattern)
        if band in found:
            raise ValueError(
                f'{path} and {found[band]} both hold band {band} of {time}; if they are different '
                f'acquisitions, date_pattern must find the time of day as well'
            )
        found[band] = path
    missing = [band for band in bands if band not in found]
    if missing:
        raise ValueError(
            f'{dated[0][1]}: of {time} there is no file for band {missing[0]}, only for '
            f'{sorted(map(str, found))}; add the file, or leave the date out with date_range'
        )
    return tuple(found[band] for band in bands)


def check_grid(path: str, reference: str) -> None:
    """Refuse a raster that does not lie on the grid of another, pixel by pixel.

    Raises:
        ValueError: Names both files, what differs, both values, and how to align them.
    """
    raster, other = open_raster(path), open_raster(reference)
    corners = np.array([[0, other.width, 0], [0, 0, other.height], [1, 1, 1]])
    here, there = (np.reshape(grid.transform, (3, 3)) for grid in (raster, other))
    shift = np.abs(np.linalg.solve(there, here @ corners) - corners).max()
    for what, mine, theirs, differ in (
        ('CRS', raster.crs, other.crs, raster.crs != other.crs),
        ('size (height, width)', raster.shape, other.shape, raster.shape != other.shape),
        ('transform', raster.transform[:6], other.transform[:6], shift > 0.01),
    ):
        if differ:
            raise ValueError(
                f'{path}: {what} {mine} differs from {theirs} of {reference}; align it with\n'
                f'  rio warp {path} aligned.tif --like {reference} --resampling nearest'
            )


def _check_alike(path: str, reference: str) -> None:
    """Refuse a raster that differs from another in grid, number of bands or type."""
    check_grid(path, reference)
    raster, other = open_raster(path), open_raster(reference)
    for what, mine, theirs in (
        ('band count', raster.count, other.count),
        ('type', raster.dtypes, other.dtypes),
    ):
        if mine != theirs:
            raise ValueError(
                f'{path}: {what} {mine} differs from {theirs} of {reference}; expected the same '
                f'in all files of a series'
            )
