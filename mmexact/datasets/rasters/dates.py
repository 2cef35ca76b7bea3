"""When rasters were taken: dates in names, tags or a table, and the choice of a season."""

import calendar
import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mmexact.datasets.rasters.files import open_raster

DATE_PATTERN = (
    r'(?<!\d)(?P<year>(?:19|20)\d\d)[-:._/]?(?P<month>0[1-9]|1[0-2])[-:._/]?(?P<day>[0-3]\d)'
    r'(?:[T _-](?P<hour>[01]\d|2[0-3]):?(?P<minute>[0-5]\d):?(?P<second>[0-5]\d))?(?!\d)'
)
"""YYYYMMDD or YYYY-MM-DD (or with ':', '.', '_', '/'), optionally followed by a time."""


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
    numbers = {'year', 'month', 'day', 'day_of_year', 'hour', 'minute', 'second'}
    found = {
        key: int(value)
        for key, value in match.groupdict().items()
        if key in numbers and value is not None
    }
    if 'day_of_year' not in found:
        return datetime(**found)  # type: ignore[arg-type]
    year_and_day = f'{found.pop("year")} {found.pop("day_of_year")}'
    return datetime.strptime(year_and_day, '%Y %j').replace(**found)  # type: ignore[arg-type]


def read_dates_file(path: str, pattern: str = DATE_PATTERN) -> dict[str, datetime]:
    """Read when files were taken from a CSV file with the columns ``file`` and ``date``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, or a date cannot be read or is given twice.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such dates_file; expected a CSV file with the columns '
            f'file and date'
        )
    times: dict[str, datetime] = {}
    with open(path, newline='', encoding='utf-8-sig') as file:
        rows = csv.DictReader(file)
        if not {'file', 'date'} <= set(rows.fieldnames or ()):
            raise ValueError(f'{path}: columns {rows.fieldnames}; expected file and date')
        for row in rows:
            name, text = (row['file'] or '').strip(), (row['date'] or '').strip()
            where = f'{path}, line {rows.line_num}'
            time = _parse([text], pattern, where, f'{text!r}')
            if times.setdefault(name, time) != time:
                raise ValueError(f'{where}: another date for {name} than above: {times[name]}')
    return times


@dataclass(frozen=True)
class DateFinder:
    """Finds out when rasters were taken: from a table, a tag or their names.

    Attributes:
        root: Folder that the names start at.
        pattern: Regular expression as for :func:`parse_date`.
        tag: Tag that has the date, instead of a name.
        listed: Dates by file, instead of both: a path from ``root`` on, or the name alone.
    """

    root: str
    pattern: str = DATE_PATTERN
    tag: str | None = None
    listed: Mapping[str, datetime] | None = None

    def of_file(self, path: str) -> datetime:
        """Find out when a raster was taken; in its name, else in its folders.

        Raises:
            ValueError: There is no date, or none of the calendar; names the file and the pattern.
        """
        name = os.path.relpath(path, self.root)
        if self.listed is not None:
            for key in (name, os.path.basename(path)):
                if key in self.listed:
                    return self.listed[key]
            raise ValueError(
                f'{path}: dates_file does not list {name!r}; it lists e.g. '
                f'{next(iter(self.listed), None)!r}; add the file to it, or narrow the pattern of '
                f'the rasters'
            )
        if self.tag is None:
            return _parse([os.path.basename(path), name], self.pattern, path, f'its name {name!r}')
        tags = open_raster(path).tags()
        where = f'its tag {self.tag}={tags.get(self.tag, "")!r} (it has the tags {sorted(tags)})'
        return _parse([tags.get(self.tag, '')], self.pattern, path, where)

    def of_band(self, path: str, index: int, text: str) -> datetime:
        """Find out when a band of a raster was taken, from its description or a tag of it.

        Raises:
            ValueError: As :meth:`of_file`.
        """
        where = f'the description {text!r} of band {index}'
        if self.tag is not None:
            text = open_raster(path).tags(index).get(self.tag, '')
            where = f'the tag {self.tag}={text!r} of band {index}'
        return _parse([text], self.pattern, path, where)


def _parse(texts: Sequence[str], pattern: str, path: str, where: str) -> datetime:
    try:
        times = [parse_date(text, pattern) for text in texts]
    except (ValueError, TypeError) as error:
        raise ValueError(f'{path}: the date in {where}: {error}') from None
    for time in times:
        if time is not None:
            return time
    raise ValueError(
        f'{path}: no date in {where} by date_pattern={pattern!r}; set date_pattern to a regular '
        f'expression with the groups year, month and day (or day_of_year), date_tag to the tag '
        f'that has the date, or dates_file to a CSV file with the columns file and date'
    )


def read_date_range(date_range: Sequence[str]) -> tuple[date, date]:
    """Read the first and the last day of a season, both included.

    Args:
        date_range: Two days ('YYYY-MM-DD') or months ('YYYY-MM', from their first day or to their
            last).

    Raises:
        ValueError: These are no days, or the last comes before the first.
    """
    try:
        first, last = date_range
        start = date.fromisoformat(first if len(first) > 7 else f'{first}-01')
        end = date.fromisoformat(last if len(last) > 7 else f'{last}-01')
        if len(last) <= 7:
            end = end.replace(day=calendar.monthrange(end.year, end.month)[1])
        if end < start:
            raise ValueError('the last day comes before the first')
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"date_range={tuple(date_range)}: {error}; expected ('YYYY-MM-DD', 'YYYY-MM-DD') or "
            f"('YYYY-MM', 'YYYY-MM')"
        ) from None
    return start, end


def choose_season(times: Sequence[datetime], date_range: Sequence[str] | None) -> list[int]:
    """Return the indices of the times within a season, in chronological order.

    Args:
        times: When the rasters were taken, in any order.
        date_range: As for :func:`read_date_range`; None for all.

    Raises:
        ValueError: There is none.
    """
    order = sorted(range(len(times)), key=times.__getitem__)
    if date_range is None:
        return order
    start, end = read_date_range(date_range)
    chosen = [index for index in order if start <= times[index].date() <= end]
    if not chosen:
        raise ValueError(
            f'date_range={tuple(date_range)}: no raster; they were taken from '
            f'{times[order[0]].date()} to {times[order[-1]].date()}'
        )
    return chosen
