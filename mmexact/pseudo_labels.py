"""From class activation maps to pseudo masks, and what a mask is worth against true labels.

Pure functions on tensors. Throughout, class 0 is background, classes 1..K are the crops, and plane
k - 1 of a CAM belongs to class k. Datasets without background count their crops from 0:
:func:`drop_background` goes there, :func:`confusion_scores` leaves the background out.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

DEFAULT_BACKGROUND_SCORE = 0.33
"""Background score that looks at no pixel label.

In the authors' training logs on PASTIS the best score in hindsight stays between 0.24 and 0.38
once the prototypes have settled, most often at 0.33.
"""

BACKGROUND_SCORES = tuple(step / 100 for step in range(60))
"""The scores 0.00, 0.01 .. 0.59 that the paper's protocol tries."""


def scale_cams(cams: Tensor) -> Tensor:
    """Stretch each map (..., h, w) to [0, 1] by its own minimum and maximum."""
    low = cams.amin((-2, -1), keepdim=True)
    high = cams.amax((-2, -1), keepdim=True)
    return (cams - low) / (high - low + 1e-8)


def enlarge_cams(cams: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (N, K, h, w) to (N, K, *size), bilinear with aligned corners."""
    return F.interpolate(cams, size=size, mode='bilinear', align_corners=True)


def add_background(cams: Tensor, background_score: float) -> Tensor:
    """Put the constant background plane in front: (..., K, H, W) to (..., K + 1, H, W)."""
    background = torch.full_like(cams[..., :1, :, :], background_score)
    return torch.cat([background, cams], dim=-3)


def cams_to_mask(cams: Tensor, background_score: float) -> Tensor:
    """Choose each pixel's class.

    Args:
        cams: Maps in [0, 1], (..., K, H, W).
        background_score: What background scores everywhere, 0..1. A crop has to exceed it.

    Returns:
        uint8 (..., H, W): 0 background, 1..K. Of equal scores the lower class wins.
    """
    return add_background(cams, background_score).argmax(-3).to(torch.uint8)


def confidence(planes: Tensor) -> Tensor:
    """Say how clearly the class of each pixel wins: 1 - second / first, in [0, 1].

    0 where the two strongest planes are equal (or all are zero), 1 where only one is not zero.

    Args:
        planes: Scores of the classes, not negative, (..., C, H, W) with at least two classes:
            background score and CAMs, or probabilities.
    """
    first, second = planes.topk(2, dim=-3).values.unbind(-3)
    return torch.where(first > 0, 1 - second / first.clamp(min=1e-12), 0)


def drop_background(mask: Tensor, ignore_index: int = 255) -> Tensor:
    """Number crops from 0: of an integer mask 0..K, 0 becomes ``ignore_index`` and k is k - 1."""
    return torch.where(mask == 0, ignore_index, mask - 1)


def score_histogram(
    cams: Tensor,
    truth: Tensor,
    background_scores: tuple[float, ...] = BACKGROUND_SCORES,
    ignore_index: int = 255,
) -> Tensor:
    """Count pixels by true class, strongest crop and the number of scores which that crop exceeds.

    The masks of *all* background scores follow from this one table, see
    :func:`confusion_by_score`; tables of several windows add up.

    Args:
        cams: Maps in [0, 1], (K, H, W) or (N, K, H, W).
        truth: True classes, (H, W) or (N, H, W), 0..K or ``ignore_index``.
        background_scores: The scores to tell apart, S of them, ascending.
        ignore_index: True class of pixels that do not count.

    Returns:
        int64 (K + 1, K + 1, S + 1).

    Raises:
        ValueError: A true class lies outside 0..K.
    """
    classes = cams.shape[-3] + 1
    scores = cams.new_tensor(background_scores)
    strength, winner = cams.max(-3)
    exceeded = torch.bucketize(strength, scores)
    valid = truth != ignore_index
    if valid.any() and int(truth[valid].max()) >= classes:
        raise ValueError(
            f'true labels go up to class {int(truth[valid].max())}, but the CAMs know only '
            f'0..{classes - 1}: do classes of the dataset and num_classes of the model match?'
        )
    cell = (truth.long() * classes + winner + 1) * (len(scores) + 1) + exceeded
    counts = torch.bincount(cell[valid], minlength=classes * classes * (len(scores) + 1))
    return counts.view(classes, classes, len(scores) + 1)


def confusion_by_score(histogram: Tensor) -> Tensor:
    """Turn the table of :func:`score_histogram` into one confusion matrix per background score.

    Returns:
        int64 (S, K + 1, K + 1): pixels by background score, true class and class in the mask.
    """
    as_background = histogram.cumsum(-1)
    as_crop = as_background[..., -1:] - as_background
    confusion = as_crop[..., :-1].movedim(-1, 0).clone()
    confusion[..., 0] += as_background[..., :-1].sum(1).movedim(-1, 0)
    return confusion


def confusion_scores(
    confusion: Tensor,
    absent_classes: Literal['skip', 'zero'] = 'skip',
    background: bool = True,
) -> tuple[Tensor, Tensor]:
    """Overall accuracy and mean intersection over union.

    Args:
        confusion: (..., C, C), pixels by true class and predicted class.
        absent_classes: What a class counts that is neither in truth nor in prediction: nothing
            ('skip', as MMSeg's ``IoUMetric``), or an IoU of zero ('zero', as the published code).
        background: Whether class 0 occurs in truth. Otherwise a pixel that a mask leaves to the
            background is missed by its class, as in MMSeg's ``IoUMetric`` a prediction of 255, and
            the mean goes over the crops alone.

    Returns:
        OA and mIoU, each float64 (...,) in percent.
    """
    hits = confusion.diagonal(dim1=-2, dim2=-1).double()
    iou = class_ious(confusion)
    iou = iou if background else iou[..., 1:]
    iou = iou.nan_to_num(0.0) if absent_classes == 'zero' else iou
    return 100 * hits.sum(-1) / confusion.sum((-2, -1)), iou.nanmean(-1)


def class_ious(confusion: Tensor) -> Tensor:
    """Intersection over union by class.

    Args:
        confusion: (..., C, C), pixels by true class and predicted class.

    Returns:
        float64 (..., C) in percent; NaN where a class is neither in truth nor in prediction.
    """
    hits = confusion.diagonal(dim1=-2, dim2=-1).double()
    return 100 * hits / (confusion.sum(-1) + confusion.sum(-2) - hits)
