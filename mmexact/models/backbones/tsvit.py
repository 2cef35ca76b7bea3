"""TSViT (Tarasiou et al., "ViTs for SITS", CVPR 2023), as Exact uses and changes it.

A temporal encoder looks at each location's dates, a spatial encoder at each class's locations.
In front of the dates stand one learned token per class, so that every class keeps features of
its own through both.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.transformer import AttentionResidual, Encoder
from mmexact.sits import DAYS, observed, unfold_time


class TSViTOutput(NamedTuple):
    """What TSViT hands to the heads; h, w count patches, K classes, T dates, D is the width.

    Attributes:
        spatial_tokens: Class maps Z_S after the spatial encoder, (N, K, D, h, w).
        temporal_tokens: Class maps Z_T after the temporal encoder, (N, K, D, h, w).
        date_tokens: Features S of every date, (N, T, D, h, w), or None.
        temporal_attention: Attention a of each class to each date, (N, K, T), without gradient:
            the mean of softmaxed attention over layers, heads and locations; or None.
        global_tokens: One token per class that saw the whole window, (N, K, D), or None.
        date_mask: True at real dates, False at padded ones, (N, T); None when the backbone does
            not mask padding.
        patch_size: Side of a patch in pixels.
    """

    spatial_tokens: Tensor
    temporal_tokens: Tensor
    date_tokens: Tensor | None
    temporal_attention: Tensor | None
    global_tokens: Tensor | None
    date_mask: Tensor | None
    patch_size: int


@MODELS.register_module()
class TSViT(BaseModule):
    """Temporo-spatial vision transformer with class tokens.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        num_classes: Number of class tokens K: crops in the classifier (background is no token),
            background and crops in the segmentor.
        img_size: Side of the square window in pixels.
        patch_size: Side p of a patch in pixels; divides ``img_size``.
        embed_dims: Width D of the tokens.
        temporal_depth: Blocks of the temporal encoder.
        spatial_depth: Blocks of the spatial encoder.
        num_heads: Attention heads.
        head_dims: Width of one head.
        mlp_ratio: Hidden width of the MLP over D.
        drop_rate: Dropout, 0..1.
        global_token: Prepend a learned token to each class's locations; the classifier reads it.
        attn_residual: Residual of the attention, see :class:`Block`. The published classifier
            computes 'normed', the published segmentor 'both'.
        mask_padding: Hide padded dates (day of year 0) from attention, at every location of its
            own where clouds hide dates of some pixels only; the published code does not.
        class_tokens_only: Leave ``date_tokens`` and ``temporal_attention`` out, which only the
            classifier's clues read: the last temporal block then computes class tokens alone.
        with_cp: Gradient checkpointing: keep only the input of every block for the backward pass
            and compute the rest again there, for less memory and a third more arithmetic.
        init_cfg: MMEngine's initialisation config, e.g. to load a checkpoint.

    Raises:
        ValueError: ``patch_size`` does not divide ``img_size``, or an unknown ``attn_residual``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        img_size: int = 24,
        patch_size: int = 2,
        embed_dims: int = 128,
        temporal_depth: int = 8,
        spatial_depth: int = 4,
        num_heads: int = 4,
        head_dims: int = 32,
        mlp_ratio: int = 4,
        drop_rate: float = 0.0,
        global_token: bool = False,
        attn_residual: AttentionResidual = 'input',
        mask_padding: bool = True,
        class_tokens_only: bool = False,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if img_size % patch_size:
            raise ValueError(f'img_size={img_size} is not a multiple of patch_size={patch_size}')
        if attn_residual not in ('input', 'normed', 'both'):
            raise ValueError(
                f"attn_residual={attn_residual!r}; expected 'input', 'normed' or 'both'"
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.img_size = img_size
        self.patch_size = patch_size
        self.mask_padding = mask_padding
        self.class_tokens_only = class_tokens_only
        block = dict(
            num_heads=num_heads,
            head_dims=head_dims,
            mlp_ratio=mlp_ratio,
            drop_rate=drop_rate,
            attn_residual=attn_residual,
            with_cp=with_cp,
        )
        self.patch_embed = nn.Linear(patch_size**2 * in_channels, embed_dims)
        self.day_embed = nn.Embedding(DAYS, embed_dims)
        nn.init.uniform_(self.day_embed.weight, -(DAYS**-0.5), DAYS**-0.5)
        self.class_tokens = nn.Parameter(torch.randn(num_classes, embed_dims))
        self.temporal_encoder = Encoder(temporal_depth, embed_dims, **block)
        self.position_embed = nn.Parameter(torch.randn((img_size // patch_size) ** 2, embed_dims))
        self.global_token = nn.Parameter(torch.randn(embed_dims)) if global_token else None
        self.spatial_encoder = Encoder(spatial_depth, embed_dims, **block)

    def forward(self, inputs: Tensor) -> TSViTOutput:
        """Encode a batch of windows.

        Args:
            inputs: (N, T * (C + 1), H, W) as :mod:`mmexact.sits` lays it out, bands normalised.

        Returns:
            Class and date features, see :class:`TSViTOutput`.

        Raises:
            ValueError: The channels or the window size do not fit this backbone.
        """
        series, days = unfold_time(inputs, self.in_channels)
        if series.shape[-2:] != (self.img_size, self.img_size):
            raise ValueError(
                f'TSViT was built for windows of {self.img_size} x {self.img_size} pixels '
                f'(img_size), got {series.shape[-2]} x {series.shape[-1]}. Set window_size of the '
                f"dataset, or test_cfg=dict(mode='slide', crop_size=({self.img_size}, "
                f'{self.img_size}), ...) of the segmentor'
            )
        seen = self._seen_dates(inputs) if self.mask_padding else None
        class_maps, date_maps, attention = self._encode_time(series, days, seen)
        spatial_maps, global_tokens = self._encode_space(class_maps)
        return TSViTOutput(
            spatial_tokens=spatial_maps,
            temporal_tokens=class_maps,
            date_tokens=date_maps,
            temporal_attention=attention,
            global_tokens=global_tokens,
            date_mask=None if seen is None else seen.any(1),
            patch_size=self.patch_size,
        )

    def _seen_dates(self, inputs: Tensor) -> Tensor:
        """Return at which locations which dates are no padding, bool (N, h * w, T)."""
        side = self.patch_size
        pixels = rearrange(
            observed(inputs, self.in_channels),
            'n t (h p) (w q) -> n (h w) t (p q)',
            p=side,
            q=side,
        )
        return pixels.any(-1)

    def _encode_time(
        self, series: Tensor, days: Tensor, seen: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        samples, dates, _, height, _ = series.shape
        rows = height // self.patch_size
        patches = rearrange(
            series,
            'n t c (h p) (w q) -> n (h w) t (p q c)',
            p=self.patch_size,
            q=self.patch_size,
        )
        tokens = self.patch_embed(patches) + self.day_embed(days).unsqueeze(1)
        places = tokens.shape[1]
        classes = self.class_tokens.to(tokens.dtype).expand(samples, places, -1, -1)
        sequence = torch.cat([classes, tokens], dim=2).flatten(0, 1)
        key_bias = None
        if seen is not None:
            hidden = F.pad(~seen, (self.num_classes, 0)).flatten(0, 1)
            bias = torch.zeros_like(hidden, dtype=tokens.dtype).masked_fill(hidden, -torch.inf)
            key_bias = bias[:, None, None]
        grid = dict(n=samples, h=rows)
        if self.class_tokens_only:
            sequence, _ = self.temporal_encoder(sequence, key_bias, rows=self.num_classes)
            return rearrange(sequence, '(n h w) k d -> n k d h w', **grid), None, None
        sequence, attention = self.temporal_encoder(sequence, key_bias, class_rows=self.num_classes)
        maps = rearrange(sequence, '(n h w) s d -> n s d h w', **grid)
        class_maps, date_maps = maps.split([self.num_classes, dates], dim=1)
        return class_maps, date_maps, attention.unflatten(0, (samples, places)).mean(1)

    def _encode_space(self, class_maps: Tensor) -> tuple[Tensor, Tensor | None]:
        samples, classes, _, rows, _ = class_maps.shape
        places = rearrange(class_maps, 'n k d h w -> (n k) (h w) d')
        tokens = places + self.position_embed.to(places.dtype)
        if self.global_token is not None:
            first = self.global_token.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
            tokens = torch.cat([first, tokens], dim=1)
        tokens, _ = self.spatial_encoder(tokens)
        global_tokens = None
        if self.global_token is not None:
            global_tokens = tokens[:, 0].unflatten(0, (samples, classes))
            tokens = tokens[:, 1:]
        maps = rearrange(tokens, '(n k) (h w) d -> n k d h w', n=samples, h=rows)
        return maps, global_tokens
