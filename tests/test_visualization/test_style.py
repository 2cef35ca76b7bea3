"""Colours for classes that have none."""

import numpy as np
import pytest

from mmexact.visualization.style import BACKGROUND, CROPS, WHITE, class_palette, see


def test_seven_crops_get_the_colours_of_okabe_and_ito():
    assert class_palette(8) == [BACKGROUND, *CROPS]
    assert class_palette(3, background=False) == list(CROPS[:3])


def test_a_class_more_changes_no_other_colour():
    assert class_palette(30)[:20] == class_palette(20)
    assert class_palette(20)[1:] == class_palette(19, background=False)


# In CIELAB a distance of 2 is just seen side by side.
@pytest.mark.parametrize(('number', 'distance'), [(8, 15), (19, 10), (40, 5)])
def test_colours_differ_in_every_vision_also_from_ignored_pixels(number, distance):
    seen = see(np.array([WHITE, *class_palette(number)]))
    between = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1)
    assert between[:, ~np.eye(number + 1, dtype=bool)].min() > distance


def test_red_and_green_look_alike_without_red_cones():
    # Values of a colour calculator: sRGB red is (53.2, 80.1, 67.2), green (87.7, -86.2, 83.2).
    full, protanope, _ = see(np.array([[255, 0, 0], [0, 255, 0]]))
    np.testing.assert_allclose(full, [[53.2, 80.1, 67.2], [87.7, -86.2, 83.2]], atol=0.3)
    hues = np.degrees(np.arctan2(protanope[:, 2], protanope[:, 1]))
    assert abs(hues[0] - hues[1]) < 15
