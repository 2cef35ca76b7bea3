"""Pseudo masks judged against pixel labels."""

from collections.abc import Sequence
from math import isnan
from typing import Any, Literal

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable

from mmexact.pseudo_labels import (
    BACKGROUND_SCORES,
    class_ious,
    confusion_by_score,
    confusion_scores,
    score_histogram,
)


@METRICS.register_module()
class PseudoLabelMetric(BaseMetric):
    """Overall accuracy and mIoU of pseudo masks, for all background scores in one pass.

    Reads ``seg_logits`` (plane 0 the background score, planes 1..K the CAMs) and ``gt_sem_seg``
    of each sample. Reports ``OA`` and ``mIoU`` of the masks as they are, at the model's
    ``background_score``, and beside them what the best score in hindsight would have given:
    ``hindsight_OA`` and ``hindsight_mIoU`` at ``hindsight_score``, the one with the highest OA, as
    in the paper.

    Two attributes keep more of the latest evaluation: ``by_score``, OA and mIoU at all background
    scores, and ``by_class``, the IoU (percent) of the masks as they are by name of the class, None
    where it occurs neither in truth nor in the masks.

    Of a dataset without background, only pixels that carry a crop are compared. One that a mask
    leaves unlabelled (255, where the background score wins) is missed: it counts as wrong in OA and
    in the union of its true class. No pixel says where a mask should stay empty, so that the score
    chosen in hindsight is 0 or close to it there.

    Args:
        background_scores: Scores to try in hindsight, ascending.
        absent_classes: What a class counts that occurs neither in truth nor in the masks: 'skip'
            leaves it out of the mean, 'zero' counts an IoU of zero, as the published code does.
        ignore_index: True class of pixels that do not count.
        collect_device: Where ranks meet, see MMEngine.
        prefix: Prefix of the names.
    """

    default_prefix = 'pseudo'

    def __init__(
        self,
        background_scores: Sequence[float] = BACKGROUND_SCORES,
        absent_classes: Literal['skip', 'zero'] = 'skip',
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.background_scores = tuple(background_scores)
        self.absent_classes: Literal['skip', 'zero'] = absent_classes
        self.ignore_index = ignore_index
        self.by_score: list[dict[str, float]] = []
        self.by_class: dict[str, float | None] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of one batch.

        Raises:
            ValueError: A sample has no mask to compare with, or a label outside the classes.
        """
        offset = 0 if self._background else 1  # the planes count crops from 1 on
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{sample.get("sample_id", "a sample")} has no pixel labels, which '
                    f'PseudoLabelMetric compares with: add LoadSITSAnnotations to the pipeline, '
                    f'or take the metric out (evaluator=[])'
                )
            logits = sample['seg_logits']['data']
            truth = sample['gt_sem_seg']['data'].squeeze(0).to(logits.device).long()
            used = round(logits[0, 0, 0].item(), 6)  # 0.33 is 0.33000001 in float32
            histogram = score_histogram(
                logits[1:],
                torch.where(truth == self.ignore_index, truth, truth + offset),
                self._scores(used),
                self.ignore_index,
            )
            self.results.append((used, histogram.cpu()))

    @property
    def _background(self) -> bool:
        return bool((self.dataset_meta or {}).get('background', True))

    def _scores(self, used: float) -> tuple[float, ...]:
        return tuple(sorted({*self.background_scores, used}))

    def compute_metrics(self, results: list[tuple[float, torch.Tensor]]) -> dict[str, float]:
        """Score the masks of all samples together, and log the IoU of each class.

        Raises:
            ValueError: The samples' background scores differ.
        """
        every = sorted({score for score, _ in results})
        if len(every) > 1:
            raise ValueError(
                f'PseudoLabelMetric found the background scores {every[0]} and {every[-1]} in '
                f'plane 0 of seg_logits; expected those of one model, without test-time '
                f'augmentation'
            )
        (used,) = every
        scores = self._scores(used)
        confusion = confusion_by_score(torch.stack([table for _, table in results]).sum(0))
        accuracy, miou = confusion_scores(confusion, self.absent_classes, self._background)
        chosen = scores.index(used)
        tried = torch.tensor([score in self.background_scores for score in scores])
        best = int(accuracy.masked_fill(~tried, -1).argmax())
        self.by_score = [
            dict(background_score=score, OA=oa, mIoU=iou)
            for score, oa, iou in zip(scores, accuracy.tolist(), miou.tolist(), strict=True)
        ]
        self._compare_classes(confusion[chosen], used)
        return dict(
            OA=accuracy[chosen].item(),
            mIoU=miou[chosen].item(),
            background_score=used,
            hindsight_OA=accuracy[best].item(),
            hindsight_mIoU=miou[best].item(),
            hindsight_score=scores[best],
        )

    def _compare_classes(self, confusion: torch.Tensor, background_score: float) -> None:
        """Keep and log the IoU of each class."""
        names = list(map(str, (self.dataset_meta or {}).get('classes', range(len(confusion)))))
        names = names if self._background else ['unlabelled', *names]
        ious = [None if isnan(iou) else iou for iou in class_ious(confusion).tolist()]
        first = 0 if self._background else 1
        self.by_class = dict(zip(names[first:], ious[first:], strict=True))
        table = PrettyTable(['class', 'IoU', 'true pixels', 'pixels in masks'])
        pixels = zip(confusion.sum(1).tolist(), confusion.sum(0).tolist(), strict=True)
        for name, row in zip(names, pixels, strict=True):
            iou = self.by_class.get(name)
            table.add_row([name, '-' if iou is None else f'{iou:.2f}', *row])
        title = f'pseudo masks at background score {background_score}'
        print_log(f'{title}:\n{table}', MMLogger.get_current_instance())


def compares_pixels(evaluator: Any) -> bool:
    """Tell whether an evaluator of a config compares masks with pixel labels."""
    metrics = evaluator if isinstance(evaluator, list) else [evaluator or {}]
    return any(metric.get('type') in ('PseudoLabelMetric', PseudoLabelMetric) for metric in metrics)


def select_with_pixel_labels(scores: Sequence[dict[str, float]]) -> tuple[int, float]:
    """Choose checkpoint and background score as the paper does: by looking at pixel labels.

    For comparison with published figures only. Who has pixel labels to choose with could train
    on them.

    Args:
        scores: What :class:`PseudoLabelMetric` reported of each checkpoint on the training
            windows, under its default prefix.

    Returns:
        Index of the checkpoint and the background score with the highest overall accuracy.
    """
    best = max(range(len(scores)), key=lambda index: scores[index]['pseudo/hindsight_OA'])
    return best, scores[best]['pseudo/hindsight_score']
