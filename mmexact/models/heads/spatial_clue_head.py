"""Spatial clue: raw CAMs, prototypes, their contrastive loss and the clue-based CAM.

The spatial clue of Exact. Every class owns M foreground and M background prototypes; the
features that they cluster are the class's own channel of the temporal encoder's class maps.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.dist import get_world_size
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.tsvit import TSViTOutput
from mmexact.models.heads.ranks import over_ranks

SINKHORN_EPSILON = 0.05
SINKHORN_ROUNDS = 3
GUMBEL_TAU = 0.5


def balanced_assignment(similarity: Tensor, mask: Tensor) -> Tensor:
    """Share the pixels of all processes among prototypes so that each gets as many (Sinkhorn).

    Args:
        similarity: Of each pixel to each prototype, (K, P, M).
        mask: Which pixels take part, (K, P).

    Returns:
        (K, P, M), each taking-part pixel's row sums to 1, the others are 0.
    """
    tiny = torch.finfo(similarity.dtype).tiny
    mask = mask.unsqueeze(-1)
    pixels = over_ranks(mask.sum(1, keepdim=True)).clamp(min=1)
    plan = (similarity / SINKHORN_EPSILON).exp() * mask
    plan = plan / over_ranks(plan.sum((1, 2), keepdim=True)).clamp(min=tiny)
    for _ in range(SINKHORN_ROUNDS):
        plan = plan / over_ranks(plan.sum(1, keepdim=True)).clamp(min=tiny) / plan.shape[-1]
        plan = plan / plan.sum(2, keepdim=True).clamp(min=tiny) / pixels
    return plan * pixels


@MODELS.register_module()
class SpatialClueHead(BaseModule):
    """Class activation maps from a shared convolution and from prototypes.

    The prototypes and the number of training steps seen are buffers: checkpoints keep them, and
    the momentum update, not the optimiser, moves the prototypes.

    Args:
        num_classes: Number of crops K.
        embed_dims: Width D of the class tokens.
        num_prototypes: Prototypes M of each class and kind.
        start_iter: Training step from which on the prototypes take part.
        momentum: Share of itself that a prototype keeps at an update.
        temperature: Divides the cosine similarities of the contrastive loss.
        fg_threshold: A location with at least this normalised CAM is foreground.
        bg_threshold: A location with less than this normalised CAM is background.
        aux_weight: Weight of ``loss_aux``.
        loss_weight: Weight of ``loss_clue``.
        init_cfg: MMEngine's initialisation config.
    """

    fg_prototypes: Tensor
    bg_prototypes: Tensor
    step: Tensor

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_prototypes: int = 2,
        start_iter: int = 4000,
        momentum: float = 0.999,
        temperature: float = 0.1,
        fg_threshold: float = 0.4,
        bg_threshold: float = 0.2,
        aux_weight: float = 1.0,
        loss_weight: float = 0.01,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.start_iter = start_iter
        self.momentum = momentum
        self.temperature = temperature
        self.fg_threshold = fg_threshold
        self.bg_threshold = bg_threshold
        self.aux_weight = aux_weight
        self.loss_weight = loss_weight
        self.conv_cam = nn.Conv2d(embed_dims, 1, kernel_size=3, padding=1)
        for kind in ('fg_prototypes', 'bg_prototypes'):
            start = torch.empty(num_classes, num_prototypes, embed_dims)
            self.register_buffer(kind, nn.init.trunc_normal_(start, std=0.02))
        self.register_buffer('step', torch.zeros((), dtype=torch.long))
        # The buffer is for checkpoints; to read it in every step would wait for the GPU.
        self._steps = 0

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = int(self.step)

    def forward(self, features: TSViTOutput) -> tuple[Tensor, Tensor]:
        """Map temporal and spatial class tokens to one map per class, M_T and M_S (N, K, h, w)."""
        tokens = torch.stack([features.temporal_tokens, features.spatial_tokens])
        maps = self.conv_cam(tokens.flatten(0, 2)).unflatten(0, tokens.shape[:3]).squeeze(3)
        return maps[0], maps[1]

    @staticmethod
    def raw_cam(temporal_maps: Tensor, spatial_maps: Tensor) -> Tensor:
        """Fuse both maps to the raw CAM M, (N, K, h, w), not negative."""
        return (spatial_maps.relu() + temporal_maps.relu()) / 2

    def clue_cam(self, tokens: Tensor) -> Tensor:
        """Score locations by how much nearer they are to foreground than to background prototypes.

        Args:
            tokens: The class maps Z_T, (N, K, D, h, w).

        Returns:
            (N, K, h, w), not negative, before propagation and scaling.
        """
        pixels = F.normalize(tokens.float(), dim=2)
        prototypes = torch.cat([self.fg_prototypes, self.bg_prototypes], dim=1)
        similarity = torch.einsum('nkdhw,kmd->nkmhw', pixels, F.normalize(prototypes, dim=-1))
        foreground, background = similarity.chunk(2, dim=2)
        return (foreground.amax(2) - background.amax(2)).relu()

    def loss(
        self, temporal_maps: Tensor, spatial_maps: Tensor, tokens: Tensor, image_labels: Tensor
    ) -> dict[str, Tensor]:
        """Supervise the maps by the image-level labels and the tokens by the prototypes.

        Moves the prototypes and counts the training step.

        Args:
            temporal_maps: M_T, (N, K, h, w).
            spatial_maps: M_S, (N, K, h, w).
            tokens: The class maps Z_T, (N, K, D, h, w).
            image_labels: Multi-hot (N, K).

        Returns:
            ``loss_aux`` and ``loss_clue``, both weighted; the latter is 0 before ``start_iter``.
        """
        aux = F.multilabel_soft_margin_loss(temporal_maps.float().mean((2, 3)), image_labels)
        aux = aux + F.multilabel_soft_margin_loss(spatial_maps.float().mean((2, 3)), image_labels)
        if self._count_step():
            cams = self.raw_cam(temporal_maps, spatial_maps).detach()
            clue = self._contrastive_loss(cams, tokens, image_labels)
        else:
            clue = temporal_maps.new_zeros(())
        return dict(loss_aux=self.aux_weight / 2 * aux, loss_clue=self.loss_weight * clue)

    @torch.compiler.disable  # which would compile anew for every number that it sees
    def _count_step(self) -> bool:
        """Count a training step; returns whether the prototypes have started before it."""
        self.step += 1
        self._steps += 1
        return self._steps > self.start_iter

    def _contrastive_loss(self, cams: Tensor, tokens: Tensor, image_labels: Tensor) -> Tensor:
        with torch.autocast(cams.device.type, enabled=False):
            cams = cams.float()
            cams = cams / (cams.amax((2, 3), keepdim=True) + 1e-5)
            present = image_labels.bool()[:, :, None, None]
            foreground = present & (cams >= self.fg_threshold)
            background = cams < self.bg_threshold
            pixels = rearrange(F.normalize(tokens.float(), dim=2), 'n k d h w -> k (n h w) d')
            by_class = 'n k h w -> k (n h w)'
            weights = rearrange(cams, by_class)
            # In this order: the background's contrast and update see the new foreground.
            loss = self._prototype_step(pixels, weights, rearrange(foreground, by_class), 0)
            return loss + self._prototype_step(pixels, weights, rearrange(background, by_class), 1)

    def _prototype_step(self, pixels: Tensor, cams: Tensor, mask: Tensor, kind: int) -> Tensor:
        """Contrast the masked pixels of all classes with the prototypes, then move the prototypes.

        Args:
            pixels: Normalised features, (K, P, D).
            cams: Normalised CAMs, (K, P).
            mask: Which pixels take part, (K, P).
            kind: 0 foreground, 1 background.
        """
        prototypes = (self.fg_prototypes, self.bg_prototypes)
        with torch.no_grad():
            plan = balanced_assignment(pixels @ prototypes[kind].transpose(1, 2), mask)
            assigned = plan.argmax(-1)
            chosen = self.sample_assignment(plan) * mask.unsqueeze(-1)
        loss = self._contrast(pixels, torch.stack(prototypes), assigned, mask, kind)
        self._move(prototypes[kind], pixels.detach(), cams, chosen)
        return loss

    @staticmethod
    def sample_assignment(plan: Tensor) -> Tensor:
        """Draw one prototype per pixel, one-hot (K, P, M), from the plan taken as logits."""
        return F.gumbel_softmax(plan, tau=GUMBEL_TAU, hard=True)

    def _contrast(
        self, pixels: Tensor, prototypes: Tensor, assigned: Tensor, mask: Tensor, kind: int
    ) -> Tensor:
        _, classes, per_class, _ = prototypes.shape
        anchors = F.normalize(prototypes, dim=-1).flatten(0, 2)
        logits = pixels @ anchors.T / self.temperature
        offset = per_class * (classes * kind + torch.arange(classes, device=pixels.device))
        entropy = F.cross_entropy(
            logits.flatten(0, 1), (assigned + offset[:, None]).flatten(), reduction='none'
        ).view_as(mask)
        # Gradients are averaged over processes: so are the numbers of pixels, not the means.
        ranks = get_world_size()
        pixels = over_ranks(mask.sum(1)).clamp(min=1) / ranks
        return ((entropy * mask).sum(1) / pixels).mean()

    @torch.no_grad()
    def _move(self, prototypes: Tensor, pixels: Tensor, cams: Tensor, chosen: Tensor) -> None:
        weights = chosen * cams.square().unsqueeze(-1)
        total = over_ranks(torch.einsum('kpm,kpd->kmd', weights, pixels))
        received = over_ranks(weights.sum(1)).unsqueeze(-1)
        moved = self.momentum * prototypes + (1 - self.momentum) * F.normalize(total, dim=-1)
        prototypes.copy_(F.normalize(torch.where(received > 0, moved, prototypes), dim=-1))
