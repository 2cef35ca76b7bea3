"""Series of pixels on an even grid, against means worked out by hand."""

import numpy as np
import pytest

from mmexact.refinement.pixel_series import PixelSeries, is_cloud, split_brightness, to_grid
from tests.fields import SIDE, Fields

ALL = np.ones((3, 2, 1, 2), bool)
DAYS = np.array([10, 20, 30])


def series() -> np.ndarray:
    """Three dates of two bands (a dark blue one) and two pixels."""
    values = np.zeros((3, 2, 1, 2), np.int16)
    values[:, 0] = 100
    values[:, 1, 0] = [[1000, 4000], [2000, 4000], [3000, 4000]]
    return values


def test_near_dates_count_most():
    result = to_grid(series(), ALL, DAYS, np.array([10, 25]), blue=0)
    assert result.shape == (2, 4)
    weights = np.array([[1, 1 / 121, 1 / 441], [1 / 256, 1 / 36, 1 / 36]])
    means = weights @ [1000, 2000, 3000] / weights.sum(1)
    np.testing.assert_allclose(result[0], [100, means[0], 100, means[1]], rtol=1e-5)
    np.testing.assert_allclose(result[1], [100, 4000, 100, 4000], rtol=1e-5)


def test_clouds_and_gaps_do_not_count():
    values, valid = series(), ALL.copy()
    values[1, :, 0, 0] = 9000  # a cloud: blue above twice its median, 100
    valid[2, 1, 0, 0] = False
    result = to_grid(values, valid, DAYS, np.array([20]), blue=0)
    np.testing.assert_allclose(result[0], [100, 1000], rtol=1e-5)


def test_without_a_blue_band_all_that_was_observed_counts():
    values = series()
    values[1, :, 0, 0] = 9000
    result = to_grid(values, ALL, DAYS, np.array([20]), blue=None)
    assert result[0, 1] > 8000


def test_a_pixel_without_observation_is_nan():
    valid = ALL.copy()
    valid[:, :, 0, 1] = False
    result = to_grid(series(), valid, DAYS, np.array([10, 20]), blue=0)
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[0]).all()


def test_reflectances_count_by_their_shares():
    # Two dates of red, near infrared and an index; the second pixel was never observed.
    series = np.array([[10, 30, 0.5, 60, 20, -0.1], [np.nan] * 6], np.float32)
    result = split_brightness(series, 3, [0, 1])
    np.testing.assert_allclose(result[0], [0.5, 1.5, 0.5, 1.5, 0.5, -0.1, 20, 40])
    assert np.isnan(result[1]).all()
    assert series[0, 0] == 10
    # Twice the light changes nothing but the brightness; darkness is no division by zero.
    bright = split_brightness(2 * series[:1], 3, [0, 1])[0]
    np.testing.assert_allclose(bright[[0, 1, 3, 4]], result[0, [0, 1, 3, 4]])
    assert split_brightness(np.zeros((1, 2)), 2, [0, 1]).tolist() == [[0, 0, 0]]
    assert split_brightness(series, 3, [0]) is series


def test_clouds_are_told_by_the_median_of_what_was_observed():
    blue = np.array([[100, 900], [900, 100], [110, 950], [221, 120]], np.float32)
    seen = np.array([[1, 0], [1, 1], [1, 0], [1, 1]], bool)
    # The lower median: 110 of (100, 110, 221, 900), and 100 of (100, 120).
    found = is_cloud(blue, seen)
    assert (found & seen).tolist() == [[False, False], [True, False], [False, False], [True, False]]


def test_all_windows_have_the_same_grid():
    data = PixelSeries(Fields())
    assert len(data) == 32
    assert data.grid.tolist() == list(range(20, 320 + 1, 12))
    assert data[0].shape == data[31].shape == (SIDE * SIDE, 26)
    assert data[0].dtype == np.float32


@pytest.mark.parametrize('second', [5, 359])
def test_series_that_begin_in_other_years_meet_on_the_grid(second, monkeypatch):
    dataset = Fields(patches=2)
    dataset.full_init()
    dataset.readers['p1'].days = np.array([second, 60, 120, 180, 240, 300], np.int16)
    grid = PixelSeries(dataset).grid
    assert grid[0] == min(20 if second == 5 else 385, second)
    assert 300 <= grid[-1] - grid[0] + 12 <= 365
