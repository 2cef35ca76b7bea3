"""Image-level classification."""

from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ClassTokenHead(BaseModule):
    """Reads from each class's global token whether the class is present.

    Args:
        embed_dims: Width D of the tokens.
        loss_weight: Weight of ``loss_cls``.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self, embed_dims: int, loss_weight: float = 1.0, init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.loss_weight = loss_weight
        self.norm = nn.LayerNorm(embed_dims)
        self.fc = nn.Linear(embed_dims, 1)

    def forward(self, global_tokens: Tensor) -> Tensor:
        """Map (N, K, D) to logits (N, K)."""
        return self.fc(self.norm(global_tokens)).squeeze(-1)

    def loss(self, global_tokens: Tensor, image_labels: Tensor) -> dict[str, Tensor]:
        """Multi-label soft margin loss against the multi-hot (N, K): ``loss_cls``, weighted."""
        logits = self(global_tokens).float()
        loss = F.multilabel_soft_margin_loss(logits, image_labels)
        return dict(loss_cls=self.loss_weight * loss)

    def predict(self, global_tokens: Tensor) -> Tensor:
        """Probability that each class is present, (N, K) in [0, 1]."""
        return self(global_tokens).float().sigmoid()
