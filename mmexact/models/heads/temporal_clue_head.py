"""Temporal clue of Exact: pivotal dates, and the affinity propagation that they steer."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mmexact.models.backbones.tsvit import TSViTOutput
from mmexact.models.heads.ranks import over_ranks

MIN_VARIANCE = 1e-8


def neighbours(maps: Tensor, dilation: int) -> Tensor:
    """Gather the 8 neighbours of every location, row-major, the border replicated.

    Args:
        maps: (B, D, h, w).
        dilation: Distance to the neighbours in locations.

    Returns:
        (B, 8, D, h, w).
    """
    height, width = maps.shape[-2:]
    padded = F.pad(maps, [dilation] * 4, mode='replicate')
    starts = (0, dilation, 2 * dilation)
    shifted = [
        padded[..., row : row + height, column : column + width]
        for row in starts
        for column in starts
        if (row, column) != (dilation, dilation)
    ]
    return torch.stack(shifted, dim=1)


@MODELS.register_module()
class TemporalClueHead(BaseModule):
    """Refines class maps along affinities of features at each class's pivotal dates.

    Args:
        dilation: Distance to the neighbours in locations.
        num_steps: How often a map is propagated.
        temperature: Divides the affinities before their softmax.
        loss_weight: Weight of ``loss_affinity``.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        dilation: int = 2,
        num_steps: int = 3,
        temperature: float = 0.3,
        loss_weight: float = 0.015,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.dilation = dilation
        self.num_steps = num_steps
        self.temperature = temperature
        self.loss_weight = loss_weight

    def pivotal_dates(self, features: TSViTOutput) -> Tensor:
        """Weigh the dates of each class, (N, K, T), summing to 1 over T.

        Padded dates that the backbone masked weigh 0, so that all do where there is no other.
        """
        attention = features.temporal_attention
        assert attention is not None
        if features.date_mask is not None:
            attention = attention.masked_fill(~features.date_mask.unsqueeze(1), -torch.inf)
        return attention.softmax(-1).nan_to_num(0)

    def forward(self, features: TSViTOutput) -> Tensor:
        """Sum the date features by the weights of the dates: V, (N, K, D, h, w)."""
        assert features.date_tokens is not None
        weights = self.pivotal_dates(features).to(features.date_tokens.dtype)
        return torch.einsum('nkt,ntdhw->nkdhw', weights, features.date_tokens)

    def affinity(self, features: Tensor) -> Tensor:
        """Compare every location with its neighbours.

        Args:
            features: (B, D, h, w).

        Returns:
            (B, 8, h, w), positive, summing to 1 over the 8 neighbours.
        """
        around = neighbours(features, self.dilation)
        # The cosine is taken of normalised features, the deviation of the features themselves.
        unit = F.normalize(features, dim=1)
        cosine = (unit.unsqueeze(1) * neighbours(unit, self.dilation)).sum(2)
        # Written out: torch.var along a dimension that is not the last one is many times slower.
        variance = (around - around.mean(1, keepdim=True)).square().sum(1) / (around.shape[1] - 1)
        # Where all neighbours are alike (a window without data) the root has no gradient.
        deviation = variance.clamp(min=MIN_VARIANCE).sqrt().mean(1, keepdim=True)
        return (cosine / (deviation + 1e-8) / self.temperature).softmax(1)

    def propagate(self, maps: Tensor, affinity: Tensor) -> Tensor:
        """Replace each value by the affinity-weighted sum of its neighbours, ``num_steps`` times.

        Args:
            maps: (B, h, w).
            affinity: (B, 8, h, w) as :meth:`affinity` returns it.
        """
        for _ in range(self.num_steps):
            around = neighbours(maps.unsqueeze(1), self.dilation).squeeze(2)
            maps = (around * affinity).sum(1)
        return maps

    def refine(self, maps: Tensor, features: Tensor) -> Tensor:
        """Average maps (B, h, w) with their propagation along features (B, D, h, w)."""
        return (self.propagate(maps, self.affinity(features)) + maps) / 2

    def loss(self, cams: Tensor, features: TSViTOutput, image_labels: Tensor) -> dict[str, Tensor]:
        """Pull the raw CAMs of present classes towards their refinement (L_tap).

        Args:
            cams: Raw CAMs, (N, K, h, w).
            features: The backbone's output.
            image_labels: Multi-hot (N, K), best on the CPU, which has to know
                which maps there are to refine.

        Returns:
            ``loss_affinity``, weighted; 0 when no class is present.
        """
        samples, classes = image_labels.nonzero(as_tuple=True)
        # Gradients are averaged over processes, which have different numbers of maps.
        maps = over_ranks(cams.new_full((), len(samples), dtype=torch.float32))
        share = len(samples) * get_world_size() / maps
        if samples.numel() == 0:
            return dict(loss_affinity=cams.sum() * 0)
        samples, classes = (
            index.to(cams.device, non_blocking=True) for index in (samples, classes)
        )
        with torch.autocast(cams.device.type, enabled=False):
            present = cams[samples, classes].float()
            refined = self.refine(present, self(features)[samples, classes].float())
            return dict(loss_affinity=self.loss_weight * share * (refined - present).abs().mean())
