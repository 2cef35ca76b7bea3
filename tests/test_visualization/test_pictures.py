"""Pictures of series, masks and activation maps, on values worked out by hand."""

import numpy as np
import pytest

from mmexact.visualization.pictures import cam_overlay, colorize, composite

PALETTE = [[56, 56, 60], [0, 200, 0], [250, 200, 0]]
DAYS = np.array([10, 100, 200])


def series_of(*medians: list[list[float]]) -> np.ndarray:
    """Three dates whose median in each band is as given; the last one is a cloud, 9000."""
    dark = np.array(medians, np.float32)
    return np.stack([dark - 1, dark, np.full_like(dark, 9000)])


class TestComposite:
    def test_stretches_the_median_of_the_bands_together(self):
        # The bands 2, 1, 0 have the medians 100..200, 0..50, 0; of all twelve values the 2nd
        # percentile is 0 and the 98th, 0.78 of the way from 150 to 200, is 189.
        blue, green, red = [[0, 0], [0, 0]], [[0, 0], [50, 50]], [[100, 100], [150, 200]]
        picture = composite(series_of(blue, green, red), DAYS)
        assert picture.dtype == np.uint8
        assert picture.shape == (2, 2, 3)
        assert picture[0, 0].tolist() == [round(255 * 100 / 189), 0, 0]
        assert picture[1, 0].tolist() == [round(255 * 150 / 189), round(255 * 50 / 189), 0]
        assert picture[1, 1].tolist() == [255, round(255 * 50 / 189), 0]

    def test_bands_are_a_choice(self):
        bands = [[[value, value]] for value in (0, 10, 20, 30)]
        first, second = (
            composite(series_of(*bands), DAYS, chosen) for chosen in ((3, 2, 1), (1, 2, 3))
        )
        assert first[0, 0, 0] > first[0, 0, 1] > first[0, 0, 2] == 0
        np.testing.assert_array_equal(first[..., ::-1], second)

    def test_padded_dates_do_not_count(self):
        bands = [[[0, 10]], [[20, 30]], [[40, 50]]]
        short = composite(series_of(*bands), DAYS)
        padding = np.zeros((4, 3, 1, 2), np.float32)
        padded = composite(np.concatenate([series_of(*bands), padding]), np.r_[DAYS, 0, 0, 0, 0])
        np.testing.assert_array_equal(padded, short)

    def test_fewer_than_three_bands_are_grey(self):
        picture = composite(series_of([[0, 100]], [[7, 7]]), DAYS)
        assert picture.tolist() == [[[0, 0, 0], [255, 255, 255]]]

    def test_unobserved_pixels_are_black_and_do_not_disturb_the_others(self):
        bands = [[[0, 100, 50]]] * 3
        holed = series_of(*bands)
        holed[:, :, :, 2] = np.nan
        picture = composite(holed, DAYS)
        assert picture[0, :, 0].tolist() == [0, 255, 0]
        assert not composite(np.full((2, 3, 1, 1), np.nan), DAYS[:2]).any()

    def test_a_series_without_contrast_is_black(self):
        assert not composite(series_of(*[[[500, 500]]] * 3), DAYS).any()

    def test_missing_bands_are_named(self):
        with pytest.raises(ValueError, match=r'bands=\(2, 1, 3\): the series has the bands 0\.\.2'):
            composite(series_of([[0]], [[0]], [[0]]), DAYS, (2, 1, 3))


class TestColorize:
    def test_classes_and_ignored(self):
        mask = np.array([[0, 1], [2, 255]], np.uint8)
        assert colorize(mask, PALETTE).tolist() == [PALETTE[:2], [PALETTE[2], [255] * 3]]

    def test_class_without_colour(self):
        with pytest.raises(ValueError, match='class 3 in a mask, but the palette has 3 colours'):
            colorize(np.array([[3]], np.uint8), PALETTE)


def test_cam_overlay_shows_the_strongest_class_as_strong_as_it_is():
    # Four pixels: nothing active, class 1 fully, class 2 fully, class 2 half before class 1.
    cams = np.array([[[0, 1, 0.2, 0.25]], [[0, 0.5, 1, 0.5]]])
    image = np.full((1, 4, 3), (0, 30, 60), np.uint8)  # grey 30, lightened to 142.5
    overlay = cam_overlay(image, cams, PALETTE)
    assert overlay.tolist() == [
        [[142] * 3, PALETTE[1], PALETTE[2], [round(v / 2 + 71.25) for v in PALETTE[2]]]
    ]
