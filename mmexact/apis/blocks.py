"""Blocks of a scene: what is predicted at once, so that no scene is too large."""

from itertools import pairwise
from typing import Any, NamedTuple

from mmseg.models.segmentors import EncoderDecoder

from mmexact.sits import Window

BLOCK_WINDOWS = 8
"""Windows of the model per side of a block.

With windows of 24 pixels, 60 dates and 10 bands a block of digital numbers is 50 MB.
"""


class Block(NamedTuple):
    """A part of a scene that is predicted at once.

    Attributes:
        read: What the model sees: all of its windows that reach into ``keep``.
        keep: What goes into the map; the blocks' parts tile the scene.
    """

    read: Window
    keep: Window


def split_axis(
    length: int, crop: int, stride: int, windows: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Split one axis of a scene into blocks at the windows of MMSeg's slide inference.

    Args:
        length: Length of the axis in pixels.
        crop: Side of a window; at most ``length``.
        stride: Distance between windows; at most ``crop``. The last one is moved back to the edge.
        windows: Windows that start in a block.

    Returns:
        Per block what to read and what to keep of it, as (first, past the last) pixel.
    """
    starts = [*range(0, length - crop, stride), length - crop]
    bounds = [*range(0, length, windows * stride), length]
    blocks = []
    for first, last in pairwise(bounds):
        touching = [start for start in starts if start < last and start + crop > first]
        blocks.append(((touching[0], touching[-1] + crop), (first, last)))
    return blocks


def plan_blocks(
    model: EncoderDecoder, info: dict[str, Any], block_windows: int = BLOCK_WINDOWS
) -> list[Block]:
    """Plan in which blocks a scene is predicted, row-major from the top left.

    With ``test_cfg.mode='slide'`` every pixel gets the same windows as when MMSeg runs over the
    whole scene, so the blocks leave no trace. With 'whole' the scene is a single block.

    Args:
        model: The segmentor.
        info: Entry of the data list.
        block_windows: Windows per side of a block.

    Raises:
        ValueError: The scene is smaller than a window, or windows leave gaps.
    """
    size, settings = tuple(info['size']), model.test_cfg
    if settings.get('mode', 'whole') != 'slide':
        return [Block((0, 0, *size), (0, 0, *size))]
    crop, stride = tuple(settings.crop_size), tuple(settings.stride)
    if any(side < window for side, window in zip(size, crop, strict=True)):
        raise ValueError(
            f'{info["sample_id"]} has {size[0]} x {size[1]} pixels, less than a window of the '
            f'model, {crop[0]} x {crop[1]} (test_cfg.crop_size); expected an area at least that '
            f'large'
        )
    if any(step > window for step, window in zip(stride, crop, strict=True)):
        raise ValueError(f'test_cfg.stride={stride} leaves gaps between windows of {crop}')
    rows, columns = (
        split_axis(size[axis], crop[axis], stride[axis], block_windows) for axis in (0, 1)
    )
    return [
        Block(_window(read_rows, read_columns), _window(keep_rows, keep_columns))
        for read_rows, keep_rows in rows
        for read_columns, keep_columns in columns
    ]


def _window(rows: tuple[int, int], columns: tuple[int, int]) -> Window:
    return rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]
