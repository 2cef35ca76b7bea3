"""Monthly composites, worked out by hand."""

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmexact.datasets.transforms.composites import (
    MIDDLE_DAYS,
    MonthlyComposite,
    clear_observations,
    interpolate_months,
    monthly_medians,
)
from mmexact.sits import LAST_DAYS, fold_time, from_image, to_image, unfold_time


def results(series, days):
    days = np.array(days, np.int16)
    return dict(img=to_image(fold_time(np.array(series, np.int16), days)), day_of_year=days)


def one_pixel(values):
    """(T, C) as a series of one pixel."""
    return np.array(values, np.int16)[:, :, None, None]


def test_months_end_and_have_a_middle():
    lengths = np.diff(LAST_DAYS, prepend=0)
    assert lengths.tolist() == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 32]
    assert (np.searchsorted(LAST_DAYS, MIDDLE_DAYS) == np.arange(12)).all()


def test_the_median_of_a_month_leaves_clouds_out():
    # The usual blue is 500; above 1000 is a cloud.
    days = [1, 10, 20, 31, 32, 45]
    values = [[400, 1], [500, 3], [9000, 99], [500, 4], [600, 7], [5000, 98]]
    clear = clear_observations(one_pixel(values)[:, 0], 2.0)
    assert clear.ravel().tolist() == [True, True, False, True, True, False]
    medians = monthly_medians(one_pixel(values), np.array(days), clear)
    assert medians[0].ravel().tolist() == [500, 3]  # of 400 500 500, and of 1 3 4
    assert medians[1].ravel().tolist() == [600, 7]
    assert np.isnan(medians[2:]).all()


def test_an_even_number_has_the_mean_of_the_two_in_the_middle():
    values = one_pixel([[1, 40], [9, 10], [2, 20], [4, 30]])
    medians = monthly_medians(values, np.array([1, 2, 3, 4]), np.ones((4, 1, 1), bool))
    assert medians[0].ravel().tolist() == [3, 25]


def test_every_pixel_has_clouds_of_its_own():
    blue = np.array([[100, 100], [900, 100], [100, 900]], np.int16)[:, None, None]
    clear = clear_observations(blue[:, 0], 2.0)
    medians = monthly_medians(blue, np.array([5, 40, 41]), clear)
    assert medians[1].ravel().tolist() == [100, 100]
    clear = clear_observations(blue[:2, 0], 1.5)
    # The left pixel's median is 500, its limit 750; the right one's 100 and 150.
    assert clear.tolist() == [[[True, True]], [[False, True]]]


def test_at_least_half_of_the_dates_are_clear():
    values = np.random.default_rng(0).integers(-200, 9000, (9, 6, 6))
    assert (clear_observations(values, 1.0).sum(0) >= 5).all()
    assert clear_observations(np.full((3, 1, 1), -5), 2.0).all()


def test_missing_months_are_interpolated_around_the_turn_of_the_year():
    composite = np.full((12, 1, 1, 2), np.nan, np.float32)
    composite[2, ..., 0], composite[4, ..., 0], composite[10, ..., 0] = 10, 30, 60
    composite[5, ..., 1] = 7
    filled = interpolate_months(composite)
    # November to March takes four months: 60 47.5 35 22.5 10.
    expected = [35, 22.5, 10, 20, 30, 35, 40, 45, 50, 55, 60, 47.5]
    np.testing.assert_allclose(filled[:, 0, 0, 0], expected)
    assert (filled[..., 1] == 7).all()
    whole = np.arange(12, dtype=np.float32).reshape(12, 1, 1, 1)
    assert interpolate_months(whole) is whole


def test_the_transform_keeps_the_layout():
    series = np.arange(4 * 2 * 3 * 5).reshape(4, 2, 3, 5) + 100
    packed = MonthlyComposite()(results(series, [15, 75, 76, 350]))
    assert packed['img'].shape == (3, 5, 12 * 3)
    composite, days = unfold_time(from_image(packed['img']), 2)
    assert composite.dtype == np.float32
    assert days.tolist() == packed['day_of_year'].tolist() == MIDDLE_DAYS.tolist()
    np.testing.assert_array_equal(composite[0], series[0])
    np.testing.assert_array_equal(composite[2], (series[1] + series[2]) / 2)
    np.testing.assert_array_equal(composite[1], (composite[0] + composite[2]) / 2)
    np.testing.assert_array_equal(composite[11], series[3])


def test_equal_months_of_two_years_go_together_and_months_can_be_chosen():
    entry = results(np.array([[2], [4]]).reshape(2, 1, 1, 1), [300, 299])
    packed = MonthlyComposite(months=(10, 3), cloud_band=None)(entry)
    composite, days = unfold_time(from_image(packed['img']), 1)
    assert composite.ravel().tolist() == [3, 3]
    assert days.tolist() == [289, 75]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(months=(0, 1)), r'months=\[0, 1\]; expected different numbers from 1 to 12'),
        (dict(months=(4, 4)), r'months=\[4, 4\]'),
        (dict(months=()), r'months=\[\]'),
        (dict(cloud_ratio=0.5), r'cloud_ratio=0.5; expected 1 or more'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type='MonthlyComposite', **settings))


def test_a_cloud_band_that_the_series_has_not():
    with pytest.raises(ValueError, match=r'cloud_band=2 of MonthlyComposite.* 2 bands.* 0 to 1'):
        MonthlyComposite(cloud_band=2)(results(np.ones((3, 2, 4, 4)), [1, 2, 3]))
