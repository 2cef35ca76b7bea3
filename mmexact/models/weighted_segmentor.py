"""A segmentor that trusts some pixels of its masks more than others."""

from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import BasePixelSampler, SegDataSample
from torch import Tensor, nn

MINIMUM = 1e-6
"""Smallest sum of weights to divide by; a batch of weight 0 has no loss."""


class GivenWeights(BasePixelSampler):
    """Hands a head's losses the weights that lie beside the masks.

    MMSeg's heads ask a pixel sampler for the weights of the pixels, and pass them to every loss.

    Args:
        weights: Weights of the pixels, float (N, H, W), not negative.
        ignore_index: Label of pixels that do not count.
    """

    def __init__(self, weights: Tensor, ignore_index: int) -> None:
        super().__init__()
        self.weights = weights
        self.ignore_index = ignore_index

    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """Return weights (N, H, W) with a mean of 1 over the pixels with a label.

        So the loss keeps its scale however much confidence there is.

        Args:
            seg_logit: Not needed.
            seg_label: (N, 1, H, W).
        """
        labelled = seg_label.squeeze(1) != self.ignore_index
        weights = self.weights.to(seg_label.device) * labelled
        return weights * (labelled.sum() / weights.sum().clamp(min=MINIMUM))


@MODELS.register_module()
class WeightedEncoderDecoder(EncoderDecoder):
    """``EncoderDecoder`` whose losses weigh pixels by ``pixel_weight`` of the data samples.

    Stage 2 writes the weights beside its masks, and a dataset with ``pixel_weights=True`` reads
    them. They reach all losses of all heads that take ``weight``, as MMSeg's
    ``CrossEntropyLoss`` does, and are scaled to a mean of 1 per batch.

    Args:
        *args: Of ``EncoderDecoder``.
        **kwargs: Of ``EncoderDecoder``.

    Raises:
        ValueError: A head has a sampler of its own.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if any(head.sampler is not None for head in self._heads()):
            raise ValueError(
                'model.type=WeightedEncoderDecoder sets the weights of pixels itself, but a head '
                'has a sampler: take decode_head.sampler out, or use an EncoderDecoder'
            )

    def _heads(self) -> list[Any]:
        heads = [self.decode_head]
        if self.with_auxiliary_head:
            auxiliary = self.auxiliary_head
            heads += auxiliary if isinstance(auxiliary, nn.ModuleList) else [auxiliary]
        return heads

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses of all heads, weighted by pixel.

        Args:
            inputs: (N, T * (C + 1), H, W).
            data_samples: N samples with ``gt_sem_seg`` and ``pixel_weight``, float (1, H, W).

        Raises:
            ValueError: A sample has no weights.
        """
        for sample in data_samples:
            if 'pixel_weight' not in sample:
                raise ValueError(
                    f'{sample.get("sample_id", "a sample")} has no pixel_weight: set '
                    f'train_dataloader.dataset.pixel_weights=True, or model.type=EncoderDecoder'
                )
        weights = torch.cat([sample.pixel_weight.data for sample in data_samples])
        for head in self._heads():
            head.sampler = GivenWeights(weights, head.ignore_index)
        try:
            return super().loss(inputs, data_samples)
        finally:
            for head in self._heads():
                head.sampler = None
