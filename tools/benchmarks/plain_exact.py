"""Exact written the plain way, as a yardstick for the speed and the memory of ours.

The same formulas and the same parameter names, so that one state dict fits both; float32, every
series padded to its full length without a mask, days of year as one-hot products, attention
matrices of all layers kept for their mean, loops over classes. Not for training: it is only ever
compared with (benchmark.py).
"""

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
        query, key, value = (
            rearrange(part, 'b s (h d) -> b h s d', h=self.heads)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        scores = torch.einsum('bhid,bhjd->bhij', query, key) * self.scale
        attention = scores.softmax(dim=-1)
        out = torch.einsum('bhij,bhjd->bhid', attention, value)
        return self.proj(rearrange(out, 'b h s d -> b s (h d)')), attention


class PlainBlock(nn.Module):
    """Pre-norm block with the residual variants of METHOD section 2."""

    def __init__(self, dims: int, heads: int, head_dims: int, mlp_ratio: int, residual: str):
        super().__init__()
        self.residual = residual
        self.norm1 = nn.LayerNorm(dims)
        self.attn = PlainAttention(dims, heads, head_dims)
        self.norm2 = nn.LayerNorm(dims)
        hidden = mlp_ratio * dims
        self.mlp = nn.Sequential(
            nn.Linear(dims, hidden),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(hidden, dims),
            nn.Identity(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, S, D) to (B, S, D) and the attention."""
        normed = self.norm1(x)
        out, attention = self.attn(normed)
        if self.residual == 'normed':
            x = normed + out
        elif self.residual == 'both':
            x = x + normed + out
        else:
            x = x + out
        return x + self.mlp(self.norm2(x)), attention


class PlainEncoder(nn.Module):
    """Blocks, a final norm, and a list of all attention matrices."""

    def __init__(self, depth: int, **block) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PlainBlock(**block) for _ in range(depth))
        self.norm = nn.LayerNorm(block['dims'])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map (B, S, D) to (B, S, D) and the attention of every layer."""
        matrices = []
        for layer in self.layers:
            x, attention = layer(x)
            matrices.append(attention)
        return self.norm(x), matrices


class PlainTSViT(nn.Module):
    """TSViT; takes our backbone's settings."""

    def __init__(self, settings: dict) -> None:
        super().__init__()
        get = settings.__getitem__
        self.bands, self.classes = get('in_channels'), get('num_classes')
        self.patch = get('patch_size')
        dims = get('embed_dims')
        block = dict(
            dims=dims,
            heads=get('num_heads'),
            head_dims=get('head_dims'),
            mlp_ratio=get('mlp_ratio'),
            residual=get('attn_residual'),
        )
        self.patch_embed = nn.Linear(self.patch**2 * self.bands, dims)
        self.day_embed = nn.Embedding(DAYS, dims)
        self.class_tokens = nn.Parameter(torch.zeros(self.classes, dims))
        self.temporal_encoder = PlainEncoder(get('temporal_depth'), **block)
        side = get('img_size') // self.patch
        self.position_embed = nn.Parameter(torch.zeros(side**2, dims))
        self.global_token = nn.Parameter(torch.zeros(dims)) if get('global_token') else None
        self.spatial_encoder = PlainEncoder(get('spatial_depth'), **block)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Map (N, T * (C + 1), H, W) to Z_S, Z_T, S, the class attention and the global tokens."""
        dated = rearrange(inputs, 'n (t c) h w -> n t c h w', c=self.bands + 1)
        samples, dates, _, height, _ = dated.shape
        rows = height // self.patch
        days = F.one_hot(dated[:, :, -1, 0, 0].long(), DAYS).float()
        positions = (days.reshape(-1, DAYS) @ self.day_embed.weight).reshape(samples, dates, -1)
        x = self.patch_embed(
            rearrange(
                dated[:, :, :-1],
                'n t c (h p) (w q) -> (n h w) t (p q c)',
                p=self.patch,
                q=self.patch,
            )
        )
        x = x.reshape(samples, -1, dates, x.shape[-1]) + positions.unsqueeze(1)
        x = x.flatten(0, 1)
        x = torch.cat([repeat(self.class_tokens, 'k d -> b k d', b=x.shape[0]), x], dim=1)
        x, matrices = self.temporal_encoder(x)
        attention = torch.stack(matrices).mean(dim=(0, 2))[:, : self.classes, self.classes :]
        attention = rearrange(attention, '(n l) k t -> n l k t', n=samples).mean(1).detach()
        grid = dict(n=samples, h=rows)
        temporal = rearrange(x[:, : self.classes], '(n h w) k d -> n k d h w', **grid)
        dated_maps = rearrange(x[:, self.classes :], '(n h w) t d -> n t d h w', **grid)
        places = rearrange(temporal, 'n k d h w -> (n k) (h w) d') + self.position_embed
        tokens = None
        if self.global_token is not None:
            first = repeat(self.global_token, 'd -> b 1 d', b=places.shape[0])
            places, _ = self.spatial_encoder(torch.cat([first, places], dim=1))
            tokens = rearrange(places[:, 0], '(n k) d -> n k d', n=samples)
            places = places[:, 1:]
        else:
            places, _ = self.spatial_encoder(places)
        spatial = rearrange(places, '(n k) (h w) d -> n k d h w', **grid)
        return spatial, temporal, dated_maps, attention, tokens


class PlainExact(nn.Module):
    """The classifier with both clues; takes the config of our ExactClassifier."""

    def __init__(self, config: dict) -> None:
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
        head = self.spatial_clue_head
        total = tokens.new_zeros(())
        for kind in (0, 1):
            both = torch.cat([head.fg_prototypes, head.bg_prototypes]).flatten(0, 1)
            anchors = F.normalize(both, dim=1)
            mine = (head.fg_prototypes, head.bg_prototypes)[kind]
            updated = mine.clone()
            for k in range(self.backbone.classes):
                total = total + self._class_loss(
                    k, kind, cams[:, k], tokens[:, k], labels[:, k], anchors, mine, updated
                )
            mine.copy_(F.normalize(updated, dim=2))
        return total / self.backbone.classes

    def _class_loss(
        self,
        k: int,
        kind: int,
        cams: Tensor,
        tokens: Tensor,
        labels: Tensor,
        anchors: Tensor,
        mine: Tensor,
        updated: Tensor,
    ) -> Tensor:
        if kind == 0:
            mask = (cams >= self.spatial['fg_threshold']) & (labels[:, None, None] > 0)
        else:
            mask = cams < self.spatial['bg_threshold']
        if not mask.any():
            return tokens.new_zeros(())
        pixels = F.normalize(tokens.permute(0, 2, 3, 1)[mask], dim=1)
        count, per_class = len(pixels), mine.shape[1]
        with torch.no_grad():
            plan = ((pixels @ mine[k].T) / EPSILON).exp().T
            plan = plan / plan.sum()
            for _ in range(3):
                plan = plan / plan.sum(dim=1, keepdim=True) / per_class
                plan = plan / plan.sum(dim=0, keepdim=True) / count
            plan = (plan * count).T
            chosen = F.gumbel_softmax(plan, tau=TAU, hard=True)
            weights = cams[mask].unsqueeze(1)
            for m in range(per_class):
                received = chosen[:, m : m + 1] * weights
                if received.sum() > 0:
                    new = F.normalize((received * weights * pixels).sum(0), dim=0)
                    momentum = self.spatial['momentum']
                    updated[k, m] = momentum * mine[k, m] + (1 - momentum) * new
        offset = per_class * (k + kind * self.backbone.classes)
        target = plan.argmax(dim=1) + offset
        return F.cross_entropy(pixels @ anchors.T / TEMPERATURE, target)


class PlainSegmentor(nn.Module):
    """TSViT as a segmentor, with the names of an EncoderDecoder; takes its config."""

    def __init__(self, config: dict) -> None:
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
