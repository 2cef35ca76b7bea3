"""The masks of all windows of a dataset, in memory."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmexact.masks import read_mask


@dataclass(frozen=True)
class WindowMasks:
    """Classes and confidences of the pixels of N windows, one window after the other.

    Attributes:
        classes: (P,) uint8, index of the class, 255 ignored.
        confidence: (P,) uint8, 0 not to be trusted, 255 fully.
        starts: (N + 1,) int, where in these each window begins; the last one is P.
    """

    classes: np.ndarray
    confidence: np.ndarray
    starts: np.ndarray

    @classmethod
    def like(cls, starts: np.ndarray) -> 'WindowMasks':
        """Make masks of windows that start there, all 0."""
        return cls(np.zeros(starts[-1], np.uint8), np.zeros(starts[-1], np.uint8), starts)

    @classmethod
    def read(
        cls,
        folder: str | os.PathLike[str],
        sample_ids: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        num_classes: int,
    ) -> 'WindowMasks':
        """Read pseudo masks; those without a confidence beside them are trusted fully.

        Args:
            folder: As :class:`~mmexact.masks.PseudoMaskWriter` writes it.
            sample_ids: Of the N windows.
            sizes: Their (height, width).
            num_classes: Number of classes.

        Raises:
            ValueError: A mask has another size or type, or a label outside the classes.
        """
        masks = cls.like(np.cumsum([0, *(height * width for height, width in sizes)]))
        for number, (sample_id, size) in enumerate(zip(sample_ids, sizes, strict=True)):
            here, name = masks.window(number), f'{sample_id}.png'
            masks.classes[here] = read_mask(Path(folder, name), size, num_classes).ravel()
            beside = Path(folder, 'confidence', name)
            masks.confidence[here] = (
                read_mask(beside, size, 256).ravel() if beside.exists() else 255
            )
        return masks

    def window(self, number: int) -> slice:
        """Return where the pixels of a window stand."""
        return slice(self.starts[number], self.starts[number + 1])

    def count(self, number: int, num_classes: int) -> np.ndarray:
        """Count the pixels of a window by class, (num_classes,); ignored ones are left out."""
        counts = np.bincount(self.classes[self.window(number)], minlength=256)
        return counts[:num_classes]

    def digest(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(self.classes.tobytes() + self.confidence.tobytes()).hexdigest()
