"""Masks as PNG, one uint8 per pixel: index of the class, 255 ignored."""

import os

import numpy as np
from PIL import Image

from mmexact.masks.folder import whole_file
from mmexact.sits import IGNORED


def write_mask(path: str | os.PathLike[str], mask: np.ndarray) -> None:
    """Write uint8 (h, w), whole or not at all."""
    assert mask.dtype == np.uint8, mask.dtype
    with whole_file(path) as unfinished:
        Image.fromarray(mask).save(unfinished, format='png')


def read_mask(path: str | os.PathLike[str], size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Read the mask of a window, which is already in the classes of the model.

    Args:
        path: A PNG.
        size: (height, width) that the window has, in pixels.
        num_classes: Number of classes.

    Returns:
        (height, width) uint8, index of the class, 255 ignored.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The mask has another size or type, a label outside the classes, or is damaged.
    """
    try:
        with Image.open(path) as image:
            mask = np.array(image)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: Pillow's of a chunk
        raise ValueError(f'{path}: cannot be read as a PNG: {error}; make it anew') from None
    if mask.dtype != np.uint8 or mask.shape != tuple(size):
        raise ValueError(
            f'{path}: expected a mask of {tuple(size)} pixels of type uint8, got {mask.shape} of '
            f'type {mask.dtype}; was it made with another window_size?'
        )
    check_labels(mask, num_classes, path)
    return mask


def check_labels(mask: np.ndarray, num_classes: int, path: str | os.PathLike[str]) -> None:
    """Refuse labels that are neither a class (0..num_classes - 1) nor ignored (255).

    Raises:
        ValueError: There is another label; the message names the file, the label and how often.
    """
    unknown = mask[((mask < 0) | (mask >= num_classes)) & (mask != IGNORED)]
    if unknown.size:
        raise ValueError(
            f'{path}: label {unknown[0]} (and others outside the classes) in {unknown.size} '
            f'pixels; expected 0..{num_classes - 1}, or {IGNORED} for ignored pixels'
        )
