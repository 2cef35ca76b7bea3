"""The time axis, against a calendar."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmexact.visualization.season import align, name_months
from tests.data import DAYS


def texts(dates: np.ndarray) -> list[str]:
    return [str(date) for date in dates]


def test_a_season_that_crosses_the_new_year_stays_in_one_piece():
    (dates,) = align([np.array(DAYS)])
    assert texts(dates) == ['2001-09-17', '2001-12-31', '2002-01-01', '2002-07-02', '2002-10-28']


def test_a_season_of_more_than_a_year_does_not_fold():
    (dates,) = align([np.array([250, 340, 30, 240, 300])])
    assert (dates[-1] - dates[0]).astype(int) == 365 + 50


@pytest.mark.parametrize(
    ('firsts', 'years'),
    [
        ((275, 300, 5), (2001, 2001, 2002)),  # autumn, autumn, and the winter after
        ((5, 20, 40), (2001, 2001, 2001)),
        ((360, 2), (2001, 2002)),
        ((100,), (2001,)),
    ],
)
def test_the_axis_begins_where_no_series_begins_for_longest(firsts, years):
    series = [np.array([day, day + 1], np.int16) for day in firsts]
    assert [int(texts(dates)[0][:4]) for dates in align(series)] == list(years)


@pytest.mark.parametrize(
    ('days', 'most', 'named'),
    [
        ((281, 14), 16, ['Nov', 'Dec', 'Jan']),
        ((266, 1, 281), 6, ['Oct', 'Jan', 'Apr', 'Jul', 'Oct']),
        ((190, 350, 30, 200, 350, 20, 350), 6, ['Jan', 'Jul', 'Jan', 'Jul']),
    ],
)
def test_ticks_are_months(days, most, named):
    axis = Figure().subplots()
    (dates,) = align([np.array(days)])
    axis.plot(dates, range(len(days)))
    axis.set_xlim(dates[0], dates[-1])
    name_months(axis, most)
    assert axis.xaxis.get_major_formatter().format_ticks(axis.get_xticks()) == named
