"""When rasters were taken: dates in names, tags or a table, and the choice of a season."""

import calendar
import os
import re
from collections.abc import Sequence
from datetime import date, datetime

from mmexact.datasets.labels import read_table
from mmexact.datasets.rasters.files import open_raster
from mmexact.datasets.rasters.settings import Search

Rows = dict[str, list[tuple[int, str]]]
"""Lines of a dates_file and their dates by the file they tell about, '' for any."""


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
    known = {'year', 'month', 'day', 'day_of_year', 'hour', 'minute', 'second'}
    found = {key: int(value) for key, value in match.groupdict().items() if value and key in known}
    if 'day_of_year' not in found:
        return datetime(**found)  # type: ignore[arg-type]
    year_and_day = f'{found.pop("year")} {found.pop("day_of_year")}'
    return datetime.strptime(year_and_day, '%Y %j').replace(**found)  # type: ignore[arg-type]


def read_dates_file(path: str, stack: bool) -> Rows:
    """Read the texts that say when files, or the bands of a stack, were taken.

    Args:
        path: CSV file with the columns ``file`` and ``date``. That of a stack needs no column
            ``file``, or it has one date per line and nothing else.
        stack: Whether there is a date for each band.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such dates_file; expected a CSV file with the columns '
            f'file and date'
        )
    columns = {'file': 'a path from data_root on, or a name', 'date': 'when it was taken'}
    found = read_table(path, {})[0] if stack else list(columns)
    if 'date' not in found:
        with open(path, encoding='utf-8-sig') as file:
            return {'': [(n, line.strip()) for n, line in enumerate(file, 1) if line.strip()]}
    columns = {name: holds for name, holds in columns.items() if name in found}
    rows: Rows = {}
    for line, cells in read_table(path, columns)[1]:
        row = dict(zip(columns, cells, strict=True))
        rows.setdefault(row.get('file', ''), []).append((line, row['date']))
    return rows


class DateFinder:
    """Finds out when rasters were taken: from a table, a tag or their names.

    Args:
        root: Folder that names of files start at.
        search: Where the dates are.

    Raises:
        FileNotFoundError: There is no ``dates_file``.
        ValueError: It is no table.
    """

    def __init__(self, root: str, search: Search) -> None:
        self.root, self.pattern, self.tag = root, search.date_pattern, search.date_tag
        self.stack = search.stack == 'dates_file'
        self.table = os.path.join(root, search.dates_file or '')
        self.rows = None if search.dates_file is None else read_dates_file(self.table, self.stack)

    def of_file(self, path: str) -> datetime:
        """Find out when a raster was taken; in its name, else in its folders."""
        name = os.path.relpath(path, self.root)
        if self.rows is not None:
            rows = self._listed(path, self.rows)
            for line, text in rows:
                if text != rows[0][1]:
                    raise ValueError(
                        f'{self.table}, line {line}: another date for {name} than above: '
                        f'{rows[0][1]}'
                    )
            return self._of_row(*rows[0])
        if self.tag is None:
            return self._parse([os.path.basename(path), name], path, f'its name {name!r}')
        tags = open_raster(path).file.tags()
        text = tags.get(self.tag, '')
        where = f'its tag {self.tag}={text!r} (it has the tags {sorted(tags)})'
        return self._parse([text], path, where)

    def of_band(self, path: str, number: int, text: str) -> datetime:
        """Find out when a band of a stack was taken: from the table, a tag of it, or a text."""
        raster = open_raster(path).file
        if self.stack:
            rows = self._listed(path, self.rows or {})
            if len(rows) != raster.count:
                raise ValueError(
                    f'{path}: {raster.count} bands, but {self.table} has {len(rows)} dates; '
                    f'expected one per band, in their order'
                )
            return self._of_row(*rows[number - 1])
        where = f'the description {text!r} of band {number}'
        if self.tag is not None:
            text = raster.tags(number).get(self.tag, '')
            where = f'the tag {self.tag}={text!r} of band {number}'
        return self._parse([text], path, where)

    def _listed(self, path: str, rows: Rows) -> list[tuple[int, str]]:
        name = os.path.relpath(path, self.root)
        for key in (name, os.path.basename(path), ''):
            if key in rows:
                return rows[key]
        raise ValueError(
            f'{path}: dates_file does not list {name!r}; it lists e.g. '
            f'{next(iter(rows), None)!r}; add the file to it, or narrow the pattern of the rasters'
        )

    def _of_row(self, line: int, text: str) -> datetime:
        return self._parse([text], f'{self.table}, line {line}', repr(text))

    def _parse(self, texts: Sequence[str], path: str, where: str) -> datetime:
        try:
            times = [parse_date(text, self.pattern) for text in texts]
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path}: the date in {where}: {error}') from None
        for time in times:
            if time is not None:
                return time
        raise ValueError(
            f'{path}: no date in {where} by date_pattern={self.pattern!r}; set date_pattern to a '
            f'regular expression with the groups year, month and day (or day_of_year), date_tag to '
            f'the tag that has the date, or dates_file to a CSV file with the columns file and date'
        )


def read_date_range(date_range: Sequence[str]) -> tuple[date, date]:
    """Read the first and the last day of a season, both included.

    Args:
        date_range: Two days ('YYYY-MM-DD') or months ('YYYY-MM', from their first day or to their
            last).
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
