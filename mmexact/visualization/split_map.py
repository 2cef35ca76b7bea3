"""A map of which window is in which split."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmexact.visualization.figures import new_figure
from mmexact.visualization.style import LINE, class_palette


def draw_splits(
    frames: np.ndarray, boxes: np.ndarray, splits: np.ndarray, names: Sequence[str]
) -> Figure:
    """Draw every window in the colour of its split, and those in none in grey.

    Args:
        frames: (N,) number of the coordinates that a window is measured in, 0 to F - 1. They are
            laid out side by side in rows.
        boxes: (N, 4) left, top, right, bottom; to the right and downwards positive.
        splits: (N,) index of the split, -1 for windows in none.
        names: Name of each split.
    """
    columns = int(np.ceil(np.sqrt(frames.max() + 1)))
    corners = np.full((frames.max() + 1, 2), np.inf)
    np.minimum.at(corners, frames, boxes[:, :2])
    left_top, right_bottom = (boxes[:, side] - corners[frames] for side in (slice(2), slice(2, 4)))
    offsets = np.column_stack([frames % columns, frames // columns]) * right_bottom.max(0) * 1.08
    left, top = (left_top + offsets).T
    right, bottom = (right_bottom + offsets).T
    outlines = np.stack([left, top, right, top, right, bottom, left, bottom], -1).reshape(-1, 4, 2)
    width, height = right.max(), bottom.max()
    colours = [f'#{r:02x}{g:02x}{b:02x}' for r, g, b in class_palette(len(names), False)] + [LINE]
    figure, (axis,) = new_figure(8, float(np.clip(7 * height / width, 2, 10)) + 0.8)
    faces = [colours[split] for split in splits]
    axis.add_collection(
        PolyCollection(list(outlines), facecolors=faces, edgecolors='w', linewidths=0.4)
    )
    handles = [Patch(color=colours[index], label=name) for index, name in enumerate(names)]
    if (splits < 0).any():
        handles.append(Patch(color=LINE, label='in none (too near)'))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect='equal')
    axis.axis('off')
    axis.legend(
        handles=handles, frameon=False, ncols=5, loc='lower center', bbox_to_anchor=(0.5, 1)
    )
    return figure
