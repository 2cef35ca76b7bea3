"""TSViT (Tarasiou et al., "ViTs for SITS", CVPR 2023), as Exact uses and changes it.

A temporal encoder looks at each location's dates, a spatial encoder at each class's locations.
In front of the dates stand one learned token per class, so that every class keeps features of
its own through both.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.sits import DAYS, unfold_time

AttentionResidual = Literal['input', 'normed', 'both']


class TSViTOutput(NamedTuple):
    """What TSViT hands to the heads; h, w count patches, K classes, T dates, D is the width.

    Attributes:
        spatial_tokens: Class maps Z_S after the spatial encoder, (N, K, D, h, w).
        temporal_tokens: Class maps Z_T after the temporal encoder, (N, K, D, h, w).
        date_tokens: Features S of every date, (N, T, D, h, w).
        temporal_attention: Attention a of each class to each date, (N, K, T), without gradient:
            the mean of softmaxed attention over layers, heads and locations.
        global_tokens: One token per class that saw the whole window, (N, K, D), or None.
        date_mask: True at real dates, False at padded ones, (N, T); None when the backbone does
            not mask padding.
    """

    spatial_tokens: Tensor
    temporal_tokens: Tensor
    date_tokens: Tensor
    temporal_attention: Tensor
    global_tokens: Tensor | None
    date_mask: Tensor | None


class Attention(nn.Module):
    """Multi-head self-attention over short sequences.

    Args:
        embed_dims: Width D of the tokens.
        num_heads: Number of heads.
        head_dims: Width of one head; heads x head_dims need not equal D.
        drop_rate: Dropout after the output projection, 0..1.
    """

    def __init__(self, embed_dims: int, num_heads: int, head_dims: int, drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = head_dims**-0.5
        self.qkv = nn.Linear(embed_dims, 3 * num_heads * head_dims, bias=False)
        self.proj = nn.Linear(num_heads * head_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def forward(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: Normalised tokens (B, S, D).
            key_bias: 0 at keys to see and -inf at keys to hide, (B, 1, 1, S), or None.
            class_rows: How many leading rows' attention to the other columns is wanted.

        Returns:
            (B, S, D), and the softmaxed attention of the first ``class_rows`` rows to the columns
            after them, averaged over heads, (B, class_rows, S - class_rows) without gradient, or
            None when ``class_rows`` is 0.
        """
        query, key, value = rearrange(
            self.qkv(x), 'b s (qkv heads d) -> qkv b heads s d', qkv=3, heads=self.num_heads
        )
        query = query * self.scale
        class_attention = None
        if x.is_cuda:
            attended = F.scaled_dot_product_attention(query, key, value, key_bias, scale=1.0)
            if class_rows:
                with torch.no_grad():
                    rows = _softmaxed(query[:, :, :class_rows], key, key_bias)
                    class_attention = rows[..., class_rows:].mean(1)
        else:
            # On CPUs plain matrix products beat the fused kernel for sequences of a few dozen
            # tokens, several times over in bfloat16, whose fused backward is slow.
            attention = _softmaxed(query, key, key_bias)
            attended = attention @ value
            if class_rows:
                class_attention = attention.detach()[:, :, :class_rows, class_rows:].mean(1)
        merged = rearrange(attended, 'b heads s d -> b s (heads d)')
        return self.drop(self.proj(merged)), class_attention


def _softmaxed(query: Tensor, key: Tensor, key_bias: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-1, -2)
    if key_bias is not None:
        scores = scores + key_bias
    return scores.softmax(-1)


class Block(nn.Module):
    """Pre-norm transformer block with the residual variants of METHOD's published models.

    Args:
        embed_dims: Width D of the tokens.
        num_heads: Number of attention heads.
        head_dims: Width of one head.
        mlp_ratio: Hidden width of the MLP over D.
        drop_rate: Dropout, 0..1.
        attn_residual: What the attention's output A(LN x) is added to: 'input' x, 'normed' LN x,
            'both' x + LN x.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        head_dims: int,
        mlp_ratio: int,
        drop_rate: float,
        attn_residual: AttentionResidual,
    ) -> None:
        super().__init__()
        self.attn_residual = attn_residual
        self.norm1 = nn.LayerNorm(embed_dims)
        self.attn = Attention(embed_dims, num_heads, head_dims, drop_rate)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dims, mlp_ratio * embed_dims),
            nn.GELU(),
            nn.Dropout(drop_rate),
            nn.Linear(mlp_ratio * embed_dims, embed_dims),
            nn.Dropout(drop_rate),
        )

    def forward(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, S, D) to (B, S, D); arguments and second result as :class:`Attention`."""
        normed = self.norm1(x)
        attended, class_attention = self.attn(normed, key_bias, class_rows)
        if self.attn_residual == 'input':
            x = x + attended
        elif self.attn_residual == 'normed':
            x = normed + attended
        else:
            x = x + normed + attended
        return x + self.mlp(self.norm2(x)), class_attention


class Encoder(nn.Module):
    """Blocks and a final LayerNorm.

    Args:
        depth: Number of blocks.
        embed_dims: Width D of the tokens.
        **block: The other arguments of :class:`Block`.
    """

    def __init__(self, depth: int, embed_dims: int, **block) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(embed_dims, **block) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def forward(
        self, x: Tensor, key_bias: Tensor | None = None, class_rows: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, S, D) to (B, S, D); the class attention is averaged over the blocks."""
        total = None
        for layer in self.layers:
            x, class_attention = layer(x, key_bias, class_rows)
            if class_attention is not None:
                total = class_attention if total is None else total + class_attention
        return self.norm(x), None if total is None else total / len(self.layers)


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
        mask_padding: Hide padded dates (day of year 0) from attention; the published code does
            not.
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
        init_cfg: dict | None = None,
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
        block = dict(
            num_heads=num_heads,
            head_dims=head_dims,
            mlp_ratio=mlp_ratio,
            drop_rate=drop_rate,
            attn_residual=attn_residual,
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
        date_mask = days > 0 if self.mask_padding else None
        class_maps, date_maps, attention = self._encode_time(series, days, date_mask)
        spatial_maps, global_tokens = self._encode_space(class_maps)
        return TSViTOutput(spatial_maps, class_maps, date_maps, attention, global_tokens, date_mask)

    def _encode_time(
        self, series: Tensor, days: Tensor, date_mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
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
        if date_mask is not None:
            hidden = F.pad(~date_mask, (self.num_classes, 0))
            bias = torch.zeros_like(hidden, dtype=tokens.dtype).masked_fill(hidden, -torch.inf)
            key_bias = bias.repeat_interleave(places, 0)[:, None, None]
        sequence, attention = self.temporal_encoder(sequence, key_bias, self.num_classes)
        maps = rearrange(sequence, '(n h w) s d -> n s d h w', n=samples, h=rows)
        class_maps, date_maps = maps.split([self.num_classes, dates], dim=1)
        assert attention is not None
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


@MODELS.register_module()
class TSViTHead(BaseDecodeHead):
    """Turns each class's spatial tokens into that class's logits of the pixels of the patch.

    Args:
        patch_size: Side p of a patch in pixels.
        pixel_order: 'patch' puts a location's p * p outputs on the pixels of its patch;
            'published' writes them to consecutive pixels of the flattened window, as the
            published head does, to run its weights.
        in_index: Which field of :class:`TSViTOutput` to read; 0 is ``spatial_tokens``.
        init_cfg: MMEngine's initialisation config.
        **kwargs: Of ``BaseDecodeHead``; ``in_channels`` is the backbone's ``embed_dims``.

    Raises:
        ValueError: An unknown ``pixel_order``.
    """

    def __init__(
        self,
        patch_size: int = 2,
        pixel_order: Literal['patch', 'published'] = 'patch',
        in_index: int = 0,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(
            channels=kwargs['in_channels'],
            dropout_ratio=0,
            in_index=in_index,
            init_cfg=init_cfg,
            **kwargs,
        )
        if pixel_order not in ('patch', 'published'):
            raise ValueError(f"pixel_order={pixel_order!r}; expected 'patch' or 'published'")
        # Every class has a map of its own, so one projection serves them all.
        del self.conv_seg
        self.patch_size = patch_size
        self.pixel_order = pixel_order
        self.norm = nn.LayerNorm(self.in_channels)
        self.to_pixels = nn.Linear(self.in_channels, patch_size**2)

    def forward(self, inputs: TSViTOutput) -> Tensor:
        """Map the backbone's output to logits (N, K, H, W).

        Raises:
            ValueError: The backbone has another number of class tokens than this head classes.
        """
        tokens = self._transform_inputs(inputs)
        if tokens.shape[1] != self.num_classes:
            raise ValueError(
                f'decode_head.num_classes={self.num_classes}, but the backbone has '
                f'{tokens.shape[1]} class tokens (backbone.num_classes): set both alike'
            )
        pixels = self.to_pixels(self.norm(rearrange(tokens, 'n k d h w -> n k h w d')))
        side = self.patch_size
        if self.pixel_order == 'patch':
            return rearrange(pixels, 'n k h w (p q) -> n k (h p) (w q)', p=side, q=side)
        height, width = pixels.shape[2] * side, pixels.shape[3] * side
        return pixels.reshape(*pixels.shape[:2], height, width)
