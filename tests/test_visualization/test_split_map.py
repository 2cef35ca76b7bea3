"""The map of splits, on places worked out by hand."""

import numpy as np
from matplotlib.colors import to_hex

from mmexact.visualization.split_map import draw_splits
from mmexact.visualization.style import LINE


def test_windows_lie_in_their_frames_side_by_side():
    # Two windows of 10 x 10 in the first frame, which begins at (100, 50), and one in the second.
    frames = np.array([0, 0, 1])
    boxes = np.array([[100, 50, 110, 60], [110, 60, 120, 70], [0, 0, 10, 10]], float)
    (axis,) = draw_splits(frames, boxes, np.array([0, 1, -1]), ('train', 'test')).axes
    (windows,) = axis.collections
    corners = [path.vertices[0].tolist() for path in windows.get_paths()]
    # A frame takes the room of the largest one, 20 x 20, and 8 % for the gap.
    assert corners == [[0, 0], [10, 10], [20 * 1.08, 0]]
    assert [to_hex(colour) for colour in windows.get_facecolors()] == ['#e69f00', '#56b4e9', LINE]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ['train', 'test', 'in none (too near)']


def test_without_windows_in_none_the_legend_names_the_splits():
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1]], float)
    (axis,) = draw_splits(np.zeros(2, int), boxes, np.array([0, 1]), ('a', 'b')).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ['a', 'b']
