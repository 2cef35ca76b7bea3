"""The time axis of series: a season in one piece, also where it crosses the new year."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MonthLocator

from mmexact.sits import season_days

FIRST_DAY = np.datetime64('2001-01-01')
"""Of a year that stands for all: plots name months, no years."""


def align(series: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Lay series side by side on one calendar, as :func:`~mmexact.sits.season_days` does.

    Args:
        series: Days of year 1..366 of the dates of each series, in order of time.

    Returns:
        The dates, datetime64[D], in a year that stands for all and those after it.
    """
    return [FIRST_DAY + (days - 1).astype('timedelta64[D]') for days in season_days(series)]


def name_months(axis: Axes, most: int) -> None:
    """Name about so many months at most along an axis that shows dates."""
    low, high = axis.get_xlim()  # days
    step = next((step for step in (1, 2, 3, 4, 6) if high - low <= 30.5 * step * most), 12)
    axis.xaxis.set_major_locator(MonthLocator(range(1, 13, step)))
    axis.xaxis.set_major_formatter(DateFormatter('%b'))
