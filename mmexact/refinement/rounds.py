"""One round of refinement, and what it says about the masks without looking at pixel labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmexact.pseudo_labels import confidence
from mmexact.refinement.cross_fit import CrossFit
from mmexact.refinement.window_masks import WindowMasks


@dataclass(frozen=True)
class Round:
    """The result of a round.

    Attributes:
        masks: The refined masks.
        agreement: Share of the pixels whose most probable class is one that may occur in their
            window, 0..1: how well the classifier knows, without being told, what image-level
            labels say.
        changed: Share of the pixels that have another class than before, 0..1.
        likeness: (C, C) float. Of the pixels that were given class c, in windows where class d
            cannot occur, the share for which d was the most probable class of all, 0..1.
    """

    masks: WindowMasks
    agreement: float
    changed: float
    likeness: np.ndarray


DOUBT = 10
"""How many times less a pixel is trusted of which the masks say something else."""


def start_masks(
    cross_fit: CrossFit,
    masks: WindowMasks,
    present: np.ndarray,
    background: bool,
    seed: int,
    after_window: Callable[[], Any] = lambda: None,
) -> WindowMasks:
    """Make the masks that rounds start from: what image-level labels say of single pixels.

    The probability of a crop is that of :meth:`CrossFit.find_crops`, that of the background what
    all crops of the window leave to it. The given masks decide where these say nothing, and
    elsewhere which pixels are trusted. So their background score hardly matters.

    Args:
        cross_fit: Judges pixels.
        masks: Masks of the spatial view.
        present: (N, C) bool, classes that may occur in a window.
        background: Whether class 0 is the background.
        seed: Of everything random.
        after_window: Called when a window has been judged.
    """
    made = WindowMasks.like(masks.starts)
    crops = range(int(background), present.shape[1])
    for window, found in cross_fit.find_crops(masks.starts, present, crops, seed):
        here, may = masks.window(window), present[window]
        given = masks.classes[here]
        told = ~np.isnan(found).all(1)
        by_masks = given[:, None] == np.arange(len(may))
        scores = np.where(np.isnan(found), by_masks, found) * may
        if background:
            scores[:, 0] = np.prod(1 - scores[:, crops.start :], 1)
            told |= ~may[crops.start :].any()
        best = scores.argmax(1)
        sure = 255 * confidence(torch.from_numpy(scores).T[..., None])[:, 0].numpy()
        told &= scores.max(1) > 0
        made.classes[here] = np.where(told, best, given)
        sure = np.where(given == best, sure, sure / DOUBT).round()
        made.confidence[here] = np.where(told, sure, masks.confidence[here])
        may = may.copy()
        may[: crops.start] = False
        made.grant(window, may, scores)
        after_window()
    return made


def run_round(
    cross_fit: CrossFit,
    masks: WindowMasks,
    present: np.ndarray,
    named: np.ndarray,
    seed: int,
    after_window: Callable[[], Any] = lambda: None,
) -> Round:
    """Learn from masks and make better ones.

    Every pixel gets the most probable of the classes that may occur in its window. Where nothing
    is known of a pixel, or none of these classes was ever seen, it keeps what it has. Crops that a
    window is named for keep some pixels, see :meth:`WindowMasks.grant`.

    Args:
        cross_fit: Judges pixels.
        masks: Masks to learn from.
        present: (N, C) bool, classes that may occur in a window.
        named: (N, C) bool, crops that its image-level label names.
        seed: Of everything random.
        after_window: Called when a window has been judged.
    """
    refined = WindowMasks.like(masks.starts)
    permitted = judged = 0
    number = present.shape[1]
    given, alike = np.zeros((number, number)), np.zeros((number, number))
    for window, probabilities in cross_fit.judge(masks, seed):
        here, may = masks.window(window), present[window]
        restricted = torch.from_numpy(probabilities * may)
        best = restricted.argmax(1).numpy()
        known = restricted.amax(1).numpy() > 0
        sure = (255 * confidence(restricted.T[..., None])[:, 0]).round().numpy()
        refined.classes[here] = np.where(known, best, masks.classes[here])
        refined.confidence[here] = np.where(known, sure, masks.confidence[here])
        refined.grant(window, named[window], restricted.numpy())
        favoured = probabilities.argmax(1)[known]
        permitted += int(may[favoured].sum())
        judged += len(favoured)
        counts = np.bincount(best[known], minlength=number)
        given += counts[:, None] * ~may
        np.add.at(alike, (best[known], favoured), ~may[favoured])
        after_window()
    return Round(
        masks=refined,
        agreement=permitted / max(judged, 1),
        changed=float((refined.classes != masks.classes).mean()),
        likeness=alike / np.maximum(given, 1),
    )
