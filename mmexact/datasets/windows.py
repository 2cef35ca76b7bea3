"""Windows of a patch, and which crops occur in them."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange

from mmexact.sits import Window

PRESENCE = 0.01
"""A crop occurs in a window when strictly more than this share of the pixels carry it."""


def window_grid(size: tuple[int, int], window_size: int | None, patch: str) -> list[Window]:
    """Cut a patch into square windows, row-major from the top left.

    What does not fill a window at the right and at the bottom is dropped, as in PASTIS24.

    Args:
        size: (height, width) of the patch in pixels.
        window_size: Side of a window and distance between windows; None keeps the patch whole.
        patch: Name of the patch, for the message.
    """
    height, width = size
    if window_size is None:
        return [(0, 0, height, width)]
    if not 0 < window_size <= min(height, width):
        raise ValueError(
            f'{patch}: the patch has {height} x {width} pixels, window_size={window_size} does not '
            f'fit; choose window_size between 1 and {min(height, width)}, or None for whole patches'
        )
    return [
        (row, column, window_size, window_size)
        for row in range(0, height - window_size + 1, window_size)
        for column in range(0, width - window_size + 1, window_size)
    ]


def presence(
    mask: np.ndarray,
    windows: Sequence[Window],
    num_crops: int,
    background: bool = True,
) -> np.ndarray:
    """Derive image-level labels from a mask (METHOD section 1).

    Args:
        mask: (H, W) uint8, index of the class, 255 ignored. Ignored counts as no crop.
        windows: A grid of equal windows, row-major from the top left.
        num_crops: K.
        background: Whether class 0 is the background and crops are 1..K, or crops are 0..K - 1.

    Returns:
        (windows, K) float32: 1 where more than 1 % of the window's pixels carry the crop.
    """
    row, column, height, width = windows[-1]
    columns = (column + width) // width
    counts = []
    # A row of windows at a time, because counting takes 16 bytes per pixel.
    for top in range(0, row + 1, height):
        tiles = rearrange(
            mask[top : top + height, : column + width], 'h (columns w) -> columns (h w)', w=width
        )
        numbered = tiles + 256 * np.arange(columns)[:, None]
        counts.append(np.bincount(numbered.ravel(), minlength=256 * columns).reshape(-1, 256))
    crops = np.concatenate(counts)[:, background : background + num_crops]
    return (crops > PRESENCE * (height * width)).astype(np.float32)
