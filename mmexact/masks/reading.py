"""Pseudo masks that stage 2 wrote, opened for stage 3."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmexact.masks.folder import MANIFEST, read_manifest
from mmexact.sits import IGNORED

KIND = 'pseudo masks'
"""What a folder of pseudo masks says in its manifest that it holds."""


def open_masks(
    folder: str | os.PathLike[str], classes: Sequence[str], sample_ids: Sequence[str]
) -> dict[str, Any]:
    """Check that a folder holds finished pseudo masks of these classes and windows.

    Masks from elsewhere are read as well, with a ``manifest.json`` beside them that says
    ``{"kind": "pseudo masks", "complete": true, "classes": [...]}``.

    Args:
        folder: Where stage 2 wrote ``<sample_id>.png`` and ``manifest.json``.
        classes: Names of the classes that the masks should have, in their order.
        sample_ids: Windows whose masks will be read.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: Masks of some windows are missing, or the whole folder.
        ValueError: The masks are unfinished, their classes or the order of these differ, or no
            manifest says so.
    """
    folder = Path(folder)
    remedy = f'make them with\n  python tools/gen_pseudo.py CONFIG CHECKPOINT --out {folder}'
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    wanted = [f'{sample_id}.png' for sample_id in sample_ids]
    missing = [name for name in wanted if name not in present]
    others = sorted(name for name in present.difference(wanted) if name.endswith('.png'))
    manifest: dict[str, Any] = {}
    if MANIFEST in present:
        manifest = read_manifest(folder, KIND)
        _compare_classes(folder, manifest.get('classes'), list(classes), remedy)
        if not manifest.get('complete'):
            raise ValueError(
                f'{folder}: the pseudo masks are unfinished; run tools/gen_pseudo.py again with '
                f'the same arguments, it goes on where it stopped'
            )
    elif len(missing) < len(wanted) or others:
        raise ValueError(
            f'{folder} holds masks, but no {MANIFEST} that says of which classes they are and '
            f'that they are finished; {remedy}\nBeside masks from elsewhere, write a {MANIFEST} '
            f'with {{"kind": "{KIND}", "complete": true, "classes": [...]}}'
        )
    if missing:
        strangers = others and len(missing) == len(wanted)
        raise FileNotFoundError(
            f'{folder.absolute()}: pseudo masks of {len(missing)} of {len(wanted)} windows are '
            f'missing, first {missing[0]}; '
            + (f'there is {others[0]}: choose the folder of this project, or ' if strangers else '')
            + remedy
        )
    return manifest


def _compare_classes(folder: Path, found: Any, expected: list[str], remedy: str) -> None:
    if found == expected:
        return
    same = isinstance(found, list) and sorted(map(str, found)) == sorted(expected)
    kind = 'the same classes in another order' if same else 'other classes'
    raise ValueError(
        f'{folder} holds masks of {kind}: {found}, but the dataset has {expected}; set '
        f'metainfo.classes of the dataset to those of the masks, choose the folder of this '
        f'project, or {remedy}'
    )


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
    except OSError as error:
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
