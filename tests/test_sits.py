import numpy as np
import pytest
import torch

from mmexact.sits import check_days, fold_time, from_image, observed, to_image, unfold_time


def coded(dates=2, bands=3, height=4, width=5):
    size = dates * bands * height * width
    return np.arange(size, dtype=np.int16).reshape(dates, bands, height, width)


def test_fold_time_puts_the_day_behind_the_bands_of_each_date():
    folded = fold_time(coded(), np.array([7, 301]))
    assert folded.shape == (8, 4, 5)
    assert folded.dtype == np.int16
    # Date 1, band 2, row 3, column 4 is the last value; date-major, day last.
    assert folded[6, 3, 4] == 2 * 3 * 4 * 5 - 1
    assert folded[4, 0, 0] == 3 * 4 * 5
    assert (folded[3] == 7).all()
    assert (folded[7] == 301).all()


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
@pytest.mark.parametrize('lead', [(), (2,)])
def test_unfold_time_is_the_inverse(kind, lead):
    series = np.broadcast_to(coded(), (*lead, 2, 3, 4, 5)).copy()
    days = np.broadcast_to(np.array([7, 366]), (*lead, 2)).copy()
    folded = fold_time(kind(series), kind(days))
    assert tuple(folded.shape) == (*lead, 8, 4, 5)
    unfolded, unfolded_days = unfold_time(folded, num_bands=3)
    np.testing.assert_array_equal(np.asarray(unfolded), series)
    np.testing.assert_array_equal(np.asarray(unfolded_days), days)
    assert type(unfolded) is type(folded)


def test_unfold_time_survives_pixels_that_a_transform_filled_with_zero():
    folded = fold_time(coded(), np.array([7, 301]))
    folded[:, :2] = 0
    assert unfold_time(folded, 3)[1].tolist() == [7, 301]


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_a_date_may_be_padding_for_some_pixels(kind):
    days = np.full((2, 4, 5), [[[7]], [[301]]])
    days[1, 2, 3] = 0
    folded = fold_time(kind(coded()), kind(days))
    np.testing.assert_array_equal(np.asarray(folded[3::4]), days)
    assert unfold_time(folded, 3)[1].tolist() == [7, 301]
    np.testing.assert_array_equal(np.asarray(unfold_time(folded, 3)[0]), coded())
    days[0] = 0
    assert unfold_time(fold_time(kind(coded()), kind(days)), 3)[1].tolist() == [0, 301]
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 5\) and \(2, 5, 4\)'):
        fold_time(kind(coded()), kind(days.transpose(0, 2, 1)))


def test_observed_says_where_a_date_is_no_padding():
    days = np.array([[[7, 0]], [[0, 0]], [[9, 9]]])
    folded = fold_time(np.ones((3, 2, 1, 2), np.int16), days)
    expected = [[[True, False]], [[False, False]], [[True, True]]]
    assert observed(folded, 2).tolist() == expected
    assert observed(torch.from_numpy(folded), 2).tolist() == expected


def test_image_is_a_view_with_channels_last():
    folded = fold_time(coded(), np.array([7, 301]))
    image = to_image(folded)
    assert image.shape == (4, 5, 8)
    assert image[3, 4, 6] == folded[6, 3, 4]
    assert np.shares_memory(image, folded)
    assert np.shares_memory(from_image(image), folded)
    np.testing.assert_array_equal(from_image(image), folded)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 5\) and \(3,\)'):
        fold_time(coded(), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match=r'T \* 5.*got \(8, 4, 5\).*num_bands'):
        unfold_time(np.zeros((8, 4, 5)), num_bands=4)


def test_a_type_that_cannot_hold_a_day_is_refused():
    with pytest.raises(ValueError, match='uint8 cannot hold days'):
        fold_time(coded().astype(np.uint8), np.array([7, 301]))


@pytest.mark.parametrize(
    ('days', 'message'), [([], 'no dates'), ([1, 0], 'day of year 0'), ([367], 'day of year 367')]
)
def test_check_days_refuses_what_no_calendar_has(days, message):
    check_days(np.array([1, 366]), 'series.npy')
    with pytest.raises(ValueError, match=f'series.npy: {message}'):
        check_days(np.array(days, dtype=int), 'series.npy')
