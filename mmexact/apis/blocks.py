"""Windows and blocks of a scene: what is read and predicted at once, so that none is too large."""

from typing import Any, NamedTuple

import numpy as np
from mmseg.models.segmentors import EncoderDecoder

from mmexact.sits import Window

BLOCK_WINDOWS = 8
"""Windows of the model per side of a block, as if they did not overlap.

With windows of 24 pixels, 60 dates and 10 bands a block of digital numbers is 50 MB.
"""
OVERLAP = 0.5
"""Share of a window's side that the next one covers again, so that maps show no seams."""


class Block(NamedTuple):
    """A part of a scene that is predicted at once.

    Attributes:
        read: The part of the scene that its windows cover.
        rows: First row of the windows, from the top of the scene.
        columns: First column of the windows, from the left of the scene.
        finished: Rows of the scene, from the top, that no later block adds to.
    """

    read: Window
    rows: list[int]
    columns: list[int]
    finished: int


def window_starts(length: int, crop: int, overlap: float) -> list[int]:
    """Return where windows begin on an axis; the last one is moved back to the edge.

    Args:
        length: Length of the axis in pixels.
        crop: Side of a window; at most ``length``.
        overlap: Share of a window that the next one covers again, 0 to below 1.
    """
    return [*range(0, length - crop, _stride(crop, overlap)), length - crop]


def _stride(crop: int, overlap: float) -> int:
    return max(1, round(crop * (1 - overlap)))


def plan_blocks(
    model: EncoderDecoder,
    info: dict[str, Any],
    overlap: float = OVERLAP,
    block_windows: int = BLOCK_WINDOWS,
) -> list[Block]:
    """Plan in which blocks a scene is predicted, row-major from the top left.

    Every window belongs to one block, so that blocks cost nothing and leave no trace. Without
    overlap and with ``test_cfg.mode='slide'`` windows are those that MMSeg slides over a scene
    with ``stride=crop_size``; with 'whole' the scene is a single window.

    Args:
        model: The segmentor.
        info: Entry of the data list.
        overlap: See :func:`window_starts`.
        block_windows: Windows per side of a block that would not overlap.

    Raises:
        ValueError: The scene is smaller than a window.
    """
    size, crop = info['size'], window_size(model, info)
    if any(side < window for side, window in zip(size, crop, strict=True)):
        raise ValueError(
            f'{info["sample_id"]} has {size[0]} x {size[1]} pixels, less than a window of the '
            f'model, {crop[0]} x {crop[1]} (test_cfg.crop_size); expected an area at least that '
            f'large'
        )
    groups = []
    for length, side in zip(size, crop, strict=True):
        starts = window_starts(length, side, overlap)
        number = block_windows * side // _stride(side, overlap)
        groups.append([starts[first : first + number] for first in range(0, len(starts), number)])
    rows, columns = groups
    # The next strip of blocks begins where rows are finished.
    finished = [group[0] for group in rows[1:]] + [size[0]]
    return [
        Block(
            (down[0], right[0], down[-1] + crop[0] - down[0], right[-1] + crop[1] - right[0]),
            *(down, right, done),
        )
        for down, done in zip(rows, finished, strict=True)
        for right in columns
    ]


def window_size(model: EncoderDecoder, info: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of a window of the model in a scene."""
    settings = model.test_cfg
    slides = settings.get('mode', 'whole') == 'slide'
    height, width = settings.crop_size if slides else info['size']
    return height, width


def blending(side: int) -> np.ndarray:
    """Weigh the pixels of a window along one axis, (side,) float32: much in the middle, 0..1.

    Squared sines: the weights of windows that overlap by half add up to one.
    """
    return np.sin(np.pi * (np.arange(side) + 0.5) / side, dtype=np.float32) ** 2


def total_weight(length: int, starts: list[int], side: int) -> np.ndarray:
    """Add up the weights of all windows along an axis of a scene, (length,) float32."""
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + side] += blending(side)
    return total
