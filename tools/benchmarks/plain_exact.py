"""Exact written the plain way, as a yardstick for the speed and the memory of ours.

The same formulas and the same parameter names, so that one state dict fits both; float32, every
series padded to its full length without a mask, days of year as one-hot products, attention
matrices of all layers kept for their mean, loops over classes. Not for training: it is only ever
compared with (benchmark.py).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from mmexact.sits import DAYS

EPSILON, TAU, TEMPERATURE = 0.05, 0.5, 0.1


class PlainAttention(nn.Module):
    """Multi-head self-attention that keeps its attention matrix."""

    def __init__(self, dims: int, heads: int, head_dims: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_dims**-0.5
        self.qkv = nn.Linear(dims, 3 * heads * head_dims, bias=False)
        self.proj = nn.Linear(heads * head_dims, dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, S, D) to (B, S, D) and the attention (B, heads, S, S)."""
        query, key, value = rearrange(
            self.qkv(x), 'b s (three h d) -> three b h s d', three=3, h=self.heads
        )
        scores = torch.einsum('bhid,bhjd->bhij', query, key) * self.scale
        attention = scores.softmax(dim=-1)
        out = torch.einsum('bhij,bhjd->bhid', attention, value)
        return self.proj(rearrange(out, 'b h s d -> b s (h d)')), attention


class PlainBlock(nn.Module):
    """Pre-norm block with the residual variants of the published models."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        dims = settings['embed_dims']
        hidden = settings['mlp_ratio'] * dims
        self.residual = settings['attn_residual']
        self.norm1 = nn.LayerNorm(dims)
        self.attn = PlainAttention(dims, settings['num_heads'], settings['head_dims'])
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = nn.Sequential(
            nn.Linear(dims, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, dims)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, S, D) to (B, S, D) and the attention."""
        normed = self.norm1(x)
        out, attention = self.attn(normed)
        if self.residual == 'both':
            x = x + normed
        elif self.residual == 'normed':
            x = normed
        x = x + out
        return x + self.mlp(self.norm2(x)), attention


class PlainEncoder(nn.Module):
    """Blocks, a final norm, and a list of all attention matrices."""

    def __init__(self, depth: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PlainBlock(settings) for _ in range(depth))
        self.norm = nn.LayerNorm(settings['embed_dims'])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map (B, S, D) to (B, S, D) and the attention of every layer."""
        matrices = []
        for layer in self.layers:
            x, attention = layer(x)
            matrices.append(attention)
        return self.norm(x), matrices


class PlainTSViT(nn.Module):
    """TSViT; takes our backbone's settings."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.bands, self.classes = settings['in_channels'], settings['num_classes']
        self.patch, dims = settings['patch_size'], settings['embed_dims']
        self.patch_embed = nn.Linear(self.patch**2 * self.bands, dims)
        self.day_embed = nn.Embedding(DAYS, dims)
        self.class_tokens = nn.Parameter(torch.zeros(self.classes, dims))
        self.temporal_encoder = PlainEncoder(settings['temporal_depth'], settings)
        places = (settings['img_size'] // self.patch) ** 2
        self.position_embed = nn.Parameter(torch.zeros(places, dims))
        self.global_token = nn.Parameter(torch.zeros(dims)) if settings['global_token'] else None
        self.spatial_encoder = PlainEncoder(settings['spatial_depth'], settings)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Map (N, T * (C + 1), H, W) to Z_S, Z_T, S, the class attention and the global tokens."""
        dated = rearrange(inputs, 'n (t c) h w -> n t c h w', c=self.bands + 1)
        samples, dates, _, height, _ = dated.shape
        days = F.one_hot(dated[:, :, -1, 0, 0].long(), DAYS).float()
        positions = (days.reshape(-1, DAYS) @ self.day_embed.weight).reshape(samples, dates, -1)
        pixels = 'n t c (h p) (w q) -> n (h w) t (p q c)'
        x = self.patch_embed(rearrange(dated[:, :, :-1], pixels, p=self.patch, q=self.patch))
        x = (x + positions.unsqueeze(1)).flatten(0, 1)
        x = torch.cat([repeat(self.class_tokens, 'k d -> b k d', b=x.shape[0]), x], dim=1)
        x, matrices = self.temporal_encoder(x)
        attention = torch.stack(matrices).mean(dim=(0, 2))[:, : self.classes, self.classes :]
        attention = rearrange(attention, '(n l) k t -> n l k t', n=samples).mean(1).detach()
        grid = dict(n=samples, h=height // self.patch)
        maps = rearrange(x, '(n h w) s d -> n s d h w', **grid)
        temporal, dated_maps = maps[:, : self.classes], maps[:, self.classes :]
        places = rearrange(temporal, 'n k d h w -> (n k) (h w) d') + self.position_embed
        tokens = None
        if self.global_token is not None:
            first = repeat(self.global_token, 'd -> b 1 d', b=places.shape[0])
            places = torch.cat([first, places], dim=1)
        places, _ = self.spatial_encoder(places)
        if self.global_token is not None:
            tokens = rearrange(places[:, 0], '(n k) d -> n k d', n=samples)
            places = places[:, 1:]
        spatial = rearrange(places, '(n k) (h w) d -> n k d h w', **grid)
        return spatial, temporal, dated_maps, attention, tokens


class PlainExact(nn.Module):
    """The classifier with both clues; takes the config of our ExactClassifier."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone = PlainTSViT(config['backbone'])
        dims = config['backbone']['embed_dims']
        self.spatial = config['spatial_clue_head']
        self.temporal = config['temporal_clue_head']
        self.cls_head = nn.ModuleDict(dict(norm=nn.LayerNorm(dims), fc=nn.Linear(dims, 1)))
        head = nn.Module()
        head.conv_cam = nn.Conv2d(dims, 1, 3, padding=1)
        shape = (self.backbone.classes, self.spatial['num_prototypes'], dims)
        for kind in ('fg_prototypes', 'bg_prototypes'):
            head.register_buffer(kind, torch.zeros(shape))
        head.register_buffer('step', torch.zeros((), dtype=torch.long))
        self.spatial_clue_head = head

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the total loss of (N, T * (C + 1), H, W) and multi-hot (N, K)."""
        spatial, temporal, dated, attention, tokens = self.backbone(inputs)
        score = self.cls_head['fc'](self.cls_head['norm'](tokens)).squeeze(-1)
        maps_t = self._map(temporal)
        maps_s = self._map(spatial)
        margin = F.multilabel_soft_margin_loss
        loss = margin(score, labels)
        for maps in (maps_t, maps_s):
            loss = loss + margin(maps.mean((2, 3)), labels) / 2
        cams = (maps_s.relu() + maps_t.relu()) / 2
        if self.spatial_clue_head.step >= self.spatial['start_iter']:
            clue = self._clue_loss(cams.detach(), temporal, labels)
            loss = loss + self.spatial['loss_weight'] * clue
        features = torch.einsum('nkt,ntdhw->nkdhw', attention.softmax(-1), dated)
        refined = self._propagate(cams.flatten(0, 1), self._affinity(features.flatten(0, 1)))
        refined = (refined.view_as(cams) + cams) / 2
        present = labels[:, :, None, None]
        pairs = labels.sum() * cams.shape[2] * cams.shape[3]
        distance = ((refined - cams).abs() * present).sum() / pairs
        return loss + self.temporal['loss_weight'] * distance

    def cam(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the clue-based CAMs (N, K, h, w) of present classes."""
        _, temporal, dated, attention, _ = self.backbone(inputs)
        features = torch.einsum('nkt,ntdhw->nkdhw', attention.softmax(-1), dated)
        refinement = self._affinity(features.flatten(0, 1))
        cams = torch.zeros_like(temporal[:, :, 0])
        head = self.spatial_clue_head
        for k in range(self.backbone.classes):
            pixels = F.normalize(temporal[:, k], dim=1)
            best = []
            for prototypes in (head.fg_prototypes, head.bg_prototypes):
                near = torch.einsum('ndhw,md->nmhw', pixels, F.normalize(prototypes[k], dim=1))
                best.append(near.max(dim=1).values)
            cams[:, k] = (best[0] - best[1]).relu()
        refined = self._propagate(cams.flatten(0, 1), refinement).view_as(cams)
        cams = (refined + cams) / 2 * labels[:, :, None, None]
        low, high = cams.amin((2, 3), keepdim=True), cams.amax((2, 3), keepdim=True)
        return (cams - low) / (high - low + 1e-8)

    def _map(self, tokens: Tensor) -> Tensor:
        maps = self.spatial_clue_head.conv_cam(tokens.flatten(0, 1))
        return maps.view(*tokens.shape[:2], *tokens.shape[3:])

    def _neighbours(self, maps: Tensor) -> Tensor:
        """Gather (B, D, 8, h, w) with unfold."""
        gap = self.temporal['dilation']
        padded = F.pad(maps, [gap] * 4, mode='replicate')
        around = F.unfold(padded, kernel_size=3, dilation=gap)
        around = around.view(maps.shape[0], maps.shape[1], 9, *maps.shape[2:])
        return torch.cat([around[:, :, :4], around[:, :, 5:]], dim=2)

    def _affinity(self, features: Tensor) -> Tensor:
        around = self._neighbours(features)
        cosine = F.cosine_similarity(features.unsqueeze(2), around, dim=1)
        deviation = around.std(dim=2).mean(dim=1, keepdim=True)
        return (cosine / (deviation + 1e-8) / 0.3).softmax(dim=1)

    def _propagate(self, maps: Tensor, affinity: Tensor) -> Tensor:
        for _ in range(self.temporal['num_steps']):
            maps = (self._neighbours(maps.unsqueeze(1))[:, 0] * affinity).sum(dim=1)
        return maps

    def _clue_loss(self, cams: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        cams = cams / (cams.amax((2, 3), keepdim=True) + 1e-5)
        head, total = self.spatial_clue_head, tokens.new_zeros(())
        for kind, mine in enumerate((head.fg_prototypes, head.bg_prototypes)):
            both = torch.cat([head.fg_prototypes, head.bg_prototypes]).flatten(0, 1)
            anchors, updated, per_class = F.normalize(both, dim=1), mine.clone(), mine.shape[1]
            for k in range(self.backbone.classes):
                mask = cams[:, k] < self.spatial['bg_threshold']
                if kind == 0:
                    present = labels[:, k, None, None] > 0
                    mask = (cams[:, k] >= self.spatial['fg_threshold']) & present
                if not mask.any():
                    continue
                pixels = F.normalize(tokens[:, k].permute(0, 2, 3, 1)[mask], dim=1)
                plan = self._share(pixels.detach() @ mine[k].T)
                updated[k] = self._move(mine[k], plan, pixels.detach(), cams[:, k][mask])
                target = plan.argmax(dim=1) + per_class * (k + kind * self.backbone.classes)
                total = total + F.cross_entropy(pixels @ anchors.T / TEMPERATURE, target)
            mine.copy_(F.normalize(updated, dim=2))
        return total / self.backbone.classes

    def _share(self, similarity: Tensor) -> Tensor:
        """Share pixels (P, M) among prototypes so that each gets as many (Sinkhorn)."""
        plan = (similarity / EPSILON).exp().T
        plan = plan / plan.sum()
        for _ in range(3):
            plan = plan / plan.sum(dim=1, keepdim=True) / plan.shape[0]
            plan = plan / plan.sum(dim=0, keepdim=True) / plan.shape[1]
        return (plan * plan.shape[1]).T

    def _move(self, prototypes: Tensor, plan: Tensor, pixels: Tensor, cams: Tensor) -> Tensor:
        """Move prototypes (M, D) towards the pixels (P, D) that are drawn for them."""
        moved, momentum = prototypes.clone(), self.spatial['momentum']
        received = F.gumbel_softmax(plan, tau=TAU, hard=True) * cams.unsqueeze(1)
        for m, weights in enumerate(received.T.unsqueeze(2)):
            if weights.sum() > 0:
                new = F.normalize((weights * cams.unsqueeze(1) * pixels).sum(0), dim=0)
                moved[m] = momentum * prototypes[m] + (1 - momentum) * new
        return moved


class PlainSegmentor(nn.Module):
    """TSViT as a segmentor, with the names of an EncoderDecoder; takes its config."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dims, side = config['backbone']['embed_dims'], config['backbone']['patch_size']
        self.backbone = PlainTSViT(dict(config['backbone'], global_token=False))
        self.decode_head = nn.ModuleDict(
            dict(norm=nn.LayerNorm(dims), to_pixels=nn.Linear(dims, side**2))
        )

    def loss(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Compute the cross entropy of (N, T * (C + 1), H, W) and masks (N, H, W)."""
        tokens = rearrange(self.backbone(inputs)[0], 'n k d h w -> n k h w d')
        pixels = self.decode_head['to_pixels'](self.decode_head['norm'](tokens))
        side = self.backbone.patch
        logits = rearrange(pixels, 'n k h w (p q) -> n k (h p) (w q)', p=side, q=side)
        return F.cross_entropy(logits, masks, ignore_index=255)


def sweep(files: list[tuple[str, str]], scores: tuple[float, ...], classes: int) -> list[float]:
    """Return the overall accuracy of each background score, a pass over all windows for each.

    Args:
        files: Of each window, the .npy files of its CAMs (K, H, W) and of its true mask (H, W).
        scores: Background scores.
        classes: K + 1.
    """
    accuracies = []
    for score in scores:
        hits, labelled = np.zeros(classes), np.zeros(classes)
        for cam_file, mask_file in files:
            cams, truth = np.load(cam_file), np.load(mask_file)
            background = np.full((1, *cams.shape[1:]), score, cams.dtype)
            mask = np.concatenate([background, cams]).argmax(axis=0)
            valid = truth < 255
            for k in range(classes):
                hits[k] += ((mask == k) & (truth == k) & valid).sum()
                labelled[k] += ((truth == k) & valid).sum()
        accuracies.append(100 * hits.sum() / labelled.sum())
    return accuracies
