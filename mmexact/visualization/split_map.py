"""A map of which window is in which split."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmexact.datasets.splits import DROPPED, Places
from mmexact.visualization.figures import new_figure

COLOURS = ('#4a6fa5', '#c9a227', '#1f6f50', '#a8443f', '#7d5a94', '#5b9aa0', '#b5764a', '#6b7280')
GREY = '#d5d8d6'


def draw_splits(places: Places, splits: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw every window in the colour of its split.

    Frames are laid out side by side in rows; those without a place on the ground in the order of
    the data.

    Args:
        places: Where the windows lie.
        splits: (N,) split of each window.
        names: Name of each split.
    """
    columns = int(np.ceil(np.sqrt(len(places.names))))
    corners = np.full((len(places.names), 2), np.inf)
    np.minimum.at(corners, places.frames, places.boxes[:, :2])
    boxes = places.boxes - np.tile(corners[places.frames], 2)
    extent = boxes[:, 2:].max(0)
    rows, column = np.divmod(np.arange(len(places.names)), columns)
    offsets = np.column_stack([column, rows]) * extent * 1.08
    boxes = boxes + np.tile(offsets[places.frames], 2)
    width, height = boxes[:, 2:].max(0)
    figure, (axis,) = new_figure(8, float(np.clip(7 * height / width, 2, 10)) + 0.8)
    left, top, right, bottom = boxes.T
    outlines = np.stack([left, top, right, top, right, bottom, left, bottom], -1).reshape(-1, 4, 2)
    colours = [*(COLOURS[index % len(COLOURS)] for index in range(len(names))), GREY]
    axis.add_collection(
        PolyCollection(
            list(outlines),
            facecolors=[colours[split] for split in splits],
            edgecolors='white',
            linewidths=0.4,
        )
    )
    handles = [
        Patch(color=colour, label=name) for name, colour in zip(names, colours, strict=False)
    ]
    if (splits == DROPPED).any():
        handles.append(Patch(color=GREY, label='in none (too near)'))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect='equal')
    axis.axis('off')
    axis.legend(
        handles=handles, frameon=False, ncols=5, loc='lower center', bbox_to_anchor=(0.5, 1)
    )
    return figure
