"""Series in arrays: gaps, days of year, windows."""

import numpy as np
import pytest

from mmexact.datasets.in_memory import ArrayReader
from tests.data import DAYS, position_code

WINDOW = (2, 3, 4, 5)


def make(values, days=DAYS, **settings):
    return ArrayReader(source='array', values=values, days=np.array(days), **settings)


def test_a_window_of_an_array():
    values = position_code(5, 3, 10, 13)
    reader = make(values)
    assert (reader.size, reader.num_bands, reader.days.tolist()) == ((10, 13), 3, list(DAYS))
    window = reader.read(np.array([0, 3]), WINDOW)
    assert window.dtype == np.int16
    np.testing.assert_array_equal(window, values[[0, 3], :, 2:6, 3:8])
    assert reader.georeference(WINDOW) is None


def test_gaps_are_filled_in_time_also_over_the_new_year():
    # Days 355, 365, 5: the middle one lies 10 of 15 days behind the first.
    values = np.ma.masked_equal(np.array([10, -1, 40]).reshape(3, 1, 1, 1), -1)
    filled = make(values, (355, 365, 5)).read(np.arange(3), (0, 0, 1, 1))
    assert filled.ravel().tolist() == [10, 30, 40]
    values = np.array([10, np.nan, 40]).reshape(3, 1, 1, 1)
    padded = make(values, (355, 365, 5), gaps='pad').read(np.arange(3), (0, 0, 1, 1))
    assert padded.mask.ravel().tolist() == [False, True, False]


def test_what_was_observed():
    values = np.ones((2, 2, 2, 2))
    values[0, 1, 0, 0], values[1, 0, 0] = np.nan, np.inf
    reader = make(values, (1, 9))
    assert reader.clear_shares((0, 0, 2, 2)).tolist() == [0.75, 0.5]
    found, valid = reader.read_observed(np.arange(2), (0, 0, 2, 2))
    assert valid.sum() == 13
    np.testing.assert_array_equal(found, valid)
    assert np.isnan(values[0, 1, 0, 0])  # inputs stay as they are


@pytest.mark.parametrize(
    ('values', 'days', 'message'),
    [
        (np.ones((5, 4, 4)), DAYS, r'shape \(5, 4, 4\).*expected numbers of shape \(dates, bands'),
        (np.ones((5, 1, 4, 4), bool), DAYS, 'type bool; expected numbers'),
        (np.ones((4, 1, 4, 4)), DAYS, r'shape \(5,\).*a whole number for each of the 4 dates'),
        (np.ones((2, 1, 4, 4)), (1.5, 2.0), 'float64; expected a whole number'),
        (np.ones((2, 1, 4, 4)), (0, 2), r'day of year 0; expected 1\.\.366'),
        (np.ones((0, 1, 4, 4)), np.empty(0, int), 'array: no dates'),
        (np.ones((9, 1, 4, 4)), (9, 8, 7, 6, 5, 4, 3, 2, 1), 'expected them in order of time'),
    ],
)
def test_unsuitable_arrays(values, days, message):
    with pytest.raises(ValueError, match=message):
        make(values, days)
