"""What a classifier of stage 1 looked at in a window: dates and places, class by class."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmexact.datasets import SITSDataset
from mmexact.engine.checkpoint import load_weights
from mmexact.models.segmentors.exact_classifier import ExactClassifier
from mmexact.sits import unfold_time
from mmexact.visualization.browse import ndvi

PIVOTAL = 3
"""Dates of each class that are marked: those with the greatest weights."""


@dataclass(frozen=True)
class ClassClue:
    """What tells a class in a window, over T dates.

    Attributes:
        index: Of the class.
        attention: Of the class to each date, (T,) in 0..1, the mean over layers, heads and
            locations.
        weights: Of the dates in its features (METHOD, section 4), (T,), summing to 1.
        pivotal: The dates with the greatest weights, ascending indices.
        quartiles: Of each curve over its pixels, (curves, 3, T): lower, median, upper; NaN at dates
            on which none was observed.
        pixels: How many the class has in the mask.
    """

    index: int
    attention: np.ndarray
    weights: np.ndarray
    pivotal: np.ndarray
    quartiles: np.ndarray
    pixels: int


@dataclass(frozen=True)
class Explanation:
    """What a classifier looked at in a window.

    Attributes:
        days: Days of year of the dates that the model saw, (T,).
        clues: Of the classes that occur.
        by_truth: Whether ``quartiles`` are over pixels of the data's mask, or of the pseudo mask.
        series: Digital numbers (T, C, h, w), NaN where not observed.
        sample: With the predictions of the classifier.
    """

    days: np.ndarray
    clues: list[ClassClue]
    by_truth: bool
    series: np.ndarray
    sample: SegDataSample


def load_classifier(cfg: Config, checkpoint: str, dataset: SITSDataset) -> ExactClassifier:
    """Build the classifier of a config with trained weights.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The config describes no classifier, or the checkpoint is of another model or
            was trained on other data.
    """
    kind = MODELS.get(cfg.model.type)
    if kind is None or not issubclass(kind, ExactClassifier):
        raise ValueError(
            f'model.type={cfg.model.type!r}; expected an ExactClassifier, whose attention and CAMs '
            f'can be explained: give the config and the checkpoint of stage 1'
        )
    model: ExactClassifier = MODELS.build(copy.deepcopy(cfg.model))
    load_weights(model, checkpoint, dataset)
    return model.eval()


def explain(
    model: ExactClassifier, dataset: SITSDataset, index: int, curves: Mapping[str, Sequence[int]]
) -> Explanation:
    """Tell what a classifier looks at in a window.

    Args:
        model: From :func:`load_classifier`.
        dataset: Of the classifier.
        index: Of the window.
        curves: What to show of each class over the season, by name: the index of a band, or those
            of red and near infrared, for the NDVI.
    """
    packed = dataset[index]
    batch = model.data_preprocessor(pseudo_collate([packed]), False)
    with torch.no_grad():
        features = model.extract_feat(batch['inputs'])
        (sample,) = model.predict(batch['inputs'], batch['data_samples'])
        weights = model.temporal_clue_head.pivotal_dates(features)[0].float().numpy()
    assert features.temporal_attention is not None  # its classifiers have it
    attention = features.temporal_attention[0].float().numpy()
    inputs = np.asarray(packed['inputs'])
    number = len(model.data_preprocessor.mean)
    values, days = unfold_time(inputs, number)
    seen = inputs[number :: number + 1] > 0
    series = np.where(seen[:, None], values, np.float32(np.nan))
    by_truth = 'gt_sem_seg' in sample
    mask = (sample.gt_sem_seg if by_truth else sample.pred_sem_seg).data[0].numpy()
    lines = np.stack([ndvi(series, bands) for bands in curves.values()])
    background, clues = int(dataset.background), []
    for row in np.flatnonzero(_present(model, sample)).tolist():
        inside = mask == row + background
        clues.append(
            ClassClue(
                index=row + background,
                attention=attention[row, : len(days)],
                weights=weights[row, : len(days)],
                pivotal=np.sort(np.argsort(-weights[row, : len(days)], kind='stable')[:PIVOTAL]),
                quartiles=_quartiles(lines[:, :, inside]),
                pixels=int(inside.sum()),
            )
        )
    return Explanation(days, clues, by_truth, series, sample)


def _present(model: ExactClassifier, sample: SegDataSample) -> np.ndarray:
    """Return which crops have a CAM, bool (K,), as the classifier chooses them."""
    by_label = model.test_cfg['presence'] == 'image_labels' and 'gt_score' in sample
    present = sample.gt_score > 0 if by_label else sample.pred_score >= 0.5
    return np.asarray(present)


def _quartiles(lines: np.ndarray) -> np.ndarray:
    """Return the quartiles (curves, 3, T) of (curves, T, pixels), NaN where all are."""
    quartiles = np.full((len(lines), 3, lines.shape[1]), np.nan)
    known = np.isfinite(lines).any(-1)
    if known.any():  # a class may have no pixel in the mask
        quartiles.swapaxes(1, 2)[known] = np.nanpercentile(lines[known], (25, 50, 75), axis=-1).T
    return quartiles
