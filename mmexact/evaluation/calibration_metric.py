"""Calibration: whether predicted probabilities are as often right as they say, and a remedy."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from torch import Tensor

TEMPERATURES = tuple(round(1.05**step, 4) for step in range(-30, 51))
"""What logits are divided by in trials: 0.23 to 11.5, in steps of 5 %."""

BINS = 15
"""Bins of equal width, by the probability of the predicted class."""


@METRICS.register_module()
class CalibrationMetric(BaseMetric):
    """Expected calibration error of a segmentor's probabilities, and the temperature that mends it.

    The error (Guo et al. 2017, "On Calibration of Modern Neural Networks") is the mean difference
    between the probability of the predicted class and the share of pixels that have it, over 15
    bins. The temperature divides the logits: above 1 it makes a model less sure, and no prediction
    changes. It is the one of :data:`TEMPERATURES` with the least negative log-likelihood; fit it on
    a fold that is neither trained nor tested on.

    Reports ``ECE`` and ``NLL`` as the model is, ``temperature``, and with it ``scaled_ECE`` and
    ``scaled_NLL``; errors in percent.

    Args:
        ignore_index: True class of pixels that do not count.
        collect_device: Where results of several processes meet.
        prefix: Of the names of the results.
    """

    default_prefix = 'calibration'

    def __init__(
        self, ignore_index: int = 255, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device, prefix)
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of one batch, for all temperatures."""
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{sample.get("sample_id", "a sample")} has no pixel labels, which calibration '
                    f'compares with: choose data that have, and LoadSITSAnnotations in the steps'
                )
            logits = sample['seg_logits']['data'].float().flatten(1)
            truth = sample['gt_sem_seg']['data'].flatten().long().to(logits.device)
            known = truth != self.ignore_index
            self.results.append(count_pixels(logits[:, known], truth[known]).cpu())

    def compute_metrics(self, results: Sequence[Tensor]) -> dict[str, float]:
        """Score all pixels together."""
        errors, likelihoods = calibration_errors(torch.stack(list(results)).sum(0))
        best, as_is = int(likelihoods.argmin()), TEMPERATURES.index(1.0)
        return dict(
            ECE=100 * float(errors[as_is]),
            NLL=float(likelihoods[as_is]),
            temperature=TEMPERATURES[best],
            scaled_ECE=100 * float(errors[best]),
            scaled_NLL=float(likelihoods[best]),
        )


def count_pixels(logits: Tensor, truth: Tensor) -> Tensor:
    """Count the pixels of each bin, their probabilities, hits and losses at each temperature.

    Args:
        logits: (C, P).
        truth: (P,) true classes, int64.

    Returns:
        float64 (temperatures, 4, :data:`BINS`).
    """
    counts = []
    right = (logits.argmax(0) == truth).double()
    for temperature in TEMPERATURES:
        scaled = F.log_softmax(logits / temperature, 0)
        sure = scaled.amax(0).exp().double()
        bins = (sure * BINS).long().clamp(max=BINS - 1)
        loss = -scaled.gather(0, truth[None])[0].double()
        values = (torch.ones_like(sure), sure, right, loss)
        counts.append(torch.stack([torch.bincount(bins, one, BINS) for one in values]))
    return torch.stack(counts)


def calibration_errors(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the calibration error 0..1 and the mean negative log-likelihood by temperature."""
    number, sure, right, loss = counts.unbind(1)
    total = number.sum(1)
    return (sure - right).abs().sum(1) / total, loss.sum(1) / total
