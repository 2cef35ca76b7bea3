"""The time axis of series: a season in one piece, also where it crosses the new year."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

YEAR = 365
FIRST_DAY = np.datetime64('2001-01-01')
"""Of a year that stands for all: plots name months, no years."""


def align(series: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Lay series side by side on one calendar.

    A date earlier in the year than the one before it is one of the next year. The calendar begins
    where no series begins for the longest time of the year, so that one that begins in January
    comes after those that began in October.

    Args:
        series: Days of year 1..366 of the dates of each series, in order of time.

    Returns:
        The dates, datetime64[D], in a year that stands for all and those after it.
    """
    firsts = np.unique([days[0] for days in series])
    start = firsts[np.diff(firsts, prepend=firsts[-1] - YEAR).argmax()]
    dates = []
    for days in series:
        years = np.cumsum(np.diff(days, prepend=days[0]) < 0) + (days[0] < start)
        dates.append(FIRST_DAY + (days - 1 + YEAR * years).astype('timedelta64[D]'))
    return dates


def name_months(axis: Axes, most: int) -> None:
    """Name at most so many months along an axis."""
    locator = AutoDateLocator(minticks=2, maxticks=most)
    formats = ['%b', '%b', '%d %b', '%H:%M', '%H:%M', '%S']
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, formats=formats, zero_formats=formats, show_offset=False)
    )
