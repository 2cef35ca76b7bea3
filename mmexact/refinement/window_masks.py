"""The masks of all windows of a dataset, in memory."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.windows import PRESENCE
from mmexact.masks import read_mask
from mmexact.pseudo_labels import class_ious, confusion_scores
from mmexact.sits import IGNORED

LEAST, GRANTED = PRESENCE, 0.05
"""Share of a window that a crop covers at least where image-level labels name it, and the share
that it is granted where a mask gives it less: enough to be learned from."""


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

    def copy(self) -> 'WindowMasks':
        """Return masks of their own."""
        return WindowMasks(self.classes.copy(), self.confidence.copy(), self.starts)

    def window(self, number: int) -> slice:
        """Return where the pixels of a window stand."""
        return slice(self.starts[number], self.starts[number + 1])

    def count(self, number: int, num_classes: int) -> np.ndarray:
        """Count the pixels of a window by class, (num_classes,); ignored ones are left out."""
        counts = np.bincount(self.classes[self.window(number)], minlength=256)
        return counts[:num_classes]

    def lacking(self, number: int, named: np.ndarray) -> np.ndarray:
        """Return the classes that a window is named for (C,) bool, but that it hardly has."""
        counts = self.count(number, len(named))
        least = LEAST * (self.starts[number + 1] - self.starts[number])
        lacking: np.ndarray = np.flatnonzero(named & (counts < least))
        return lacking

    def grant(self, number: int, named: np.ndarray, scores: np.ndarray) -> None:
        """Give the classes that a window lacks its pixels that score most, in place.

        Otherwise a crop that is rare, or that the masks have lost, would be forgotten for good,
        though image-level labels say where it grows. Such pixels are not trusted.

        Args:
            number: The window.
            named: (C,) bool, crops that its image-level label names.
            scores: (h * w, C) how far each pixel looks like each class, 0 not at all.
        """
        here = self.window(number)
        classes, confidence = self.classes[here], self.confidence[here]
        for index in self.lacking(number, named):
            best = np.argsort(-scores[:, index], kind='stable')[: math.ceil(GRANTED * len(classes))]
            best = best[scores[best, index] > 0]
            classes[best], confidence[best] = index, 0

    def digest(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(self.classes.tobytes() + self.confidence.tobytes()).hexdigest()


def score_masks(masks: WindowMasks, dataset: SITSDataset) -> dict[str, Any]:
    """Score the masks of a dataset against its pixel labels, as ``PseudoLabelMetric`` does.

    Returns:
        In percent: ``pseudo/OA``, ``pseudo/mIoU``, and ``by_class``, the IoU by name of the class,
        None where it is neither in the labels nor in the masks. A pixel that a mask leaves
        unlabelled (255) is missed.
    """
    names = ['unlabelled', *dataset.metainfo['classes']]
    counts = np.zeros((len(names), len(names)), np.int64)
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        truth = info['reader'].read_mask(info['window']).ravel()
        pixels = np.stack([truth, masks.classes[masks.window(number)]])[:, truth != IGNORED]
        np.add.at(counts, tuple(np.where(pixels == IGNORED, 0, pixels + 1)), 1)
    confusion = torch.from_numpy(counts)
    accuracy, miou = confusion_scores(confusion, background=False)
    ious = [None if math.isnan(iou) else iou for iou in class_ious(confusion)[1:].tolist()]
    by_class = dict(zip(names[1:], ious, strict=True))
    return {'pseudo/OA': accuracy.item(), 'pseudo/mIoU': miou.item(), 'by_class': by_class}
