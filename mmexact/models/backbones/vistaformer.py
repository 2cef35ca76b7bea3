"""VistaFormer (MacDonald et al. 2024): gated 3-D convolutions, attention within each date.

Three levels, each half as high and wide as the one before; from the second on, dates are halved
too. Attention sees all places of one date; a depthwise convolution inside every MLP sees the
neighbouring dates and places, and stands for a positional encoding. The network knows the dates by
their place in the series only, not by their day.

As the authors' code and its configs for PASTIS, with three differences: batch norm in the head,
as in their later code (a layer norm over 32 x 32 pixels makes their 1.25 M parameters, here
1.12 M); stochastic depth leaves out branches, not the skips around them; no dropout of the
attention itself. Their convolution over the dates comes before the enlarging here, which commutes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.transformer import Attention
from mmexact.sits import unfold_time


class GatedConv(nn.Module):
    """A 3-D convolution that shrinks, times a sigmoid of another one.

    Args:
        width: Channels in.
        out_width: Channels out.
        shrink: Kernel and stride over (dates, height, width).
    """

    def __init__(self, width: int, out_width: int, shrink: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, out_width, shrink, stride=shrink)
        self.gate = nn.Conv3d(width, out_width, shrink, stride=shrink)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, T, H, W) to fewer dates, rows and columns."""
        return self.conv(x) * self.gate(x).sigmoid()


class VistaFormerBlock(nn.Module):
    """Attention to the places of one date, then an MLP that sees the neighbours.

    Args:
        width: Channels D.
        num_heads: Heads of the attention; divides ``width``.
        mlp_ratio: Hidden width of the MLP over D.
        drop_rate: Dropout, 0..1.
        drop_path_rate: Share of dates whose branch is left out in training, 0..1.
    """

    def __init__(
        self, width: int, num_heads: int, mlp_ratio: int, drop_rate: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        hidden = mlp_ratio * width
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, num_heads, width // num_heads, drop_rate)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.neighbours = nn.Conv3d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, width)
        self.drop = nn.Dropout(drop_rate)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, H, W, D) to the same shape."""
        samples, _, height, _, _ = x.shape
        places = rearrange(x, 'n t h w d -> (n t) (h w) d')
        attended, _ = self.attn(self.norm1(places), None, class_rows=0)
        places = places + self.drop_path(attended)
        hidden = self.widen(self.norm2(places))
        volume = rearrange(hidden, '(n t) (h w) d -> n d t h w', n=samples, h=height)
        hidden = rearrange(self.neighbours(volume), 'n d t h w -> (n t) (h w) d')
        hidden = self.drop(self.narrow(self.drop(F.gelu(hidden))))
        places = places + self.drop_path(hidden)
        return rearrange(places, '(n t) (h w) d -> n t h w d', n=samples, h=height)


@MODELS.register_module()
class VistaFormer(BaseModule):
    """VistaFormer up to the enlarged levels; ``FCNHead`` with ``kernel_size=1`` joins them.

    The number of dates is part of the network: a shorter series is padded at its end. What stands
    in padded dates does not matter, and how many of them come with a series does not either.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        num_dates: Longest series T, at least 4.
        embed_dims: Channels of each level.
        depths: Blocks of each level.
        num_heads: Heads of each level; divide its channels.
        mlp_ratio: Hidden width of the MLPs over that of their level.
        channels: Channels of each level after its dates are collapsed.
        drop_rate: Dropout, 0..1.
        drop_path_rate: Stochastic depth, 0..1.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        num_dates: int = 60,
        embed_dims: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] = (2, 2, 2),
        num_heads: Sequence[int] = (2, 4, 8),
        mlp_ratio: int = 4,
        channels: int = 64,
        drop_rate: float = 0.175,
        drop_path_rate: float = 0.175,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.num_dates = num_dates
        self.embed = nn.ModuleList()
        self.blocks = nn.ModuleList()
        self.norm = nn.ModuleList()
        self.collapse = nn.ModuleList()
        width, dates = in_channels, num_dates
        for level, (out_width, depth, heads) in enumerate(
            zip(embed_dims, depths, num_heads, strict=True)
        ):
            step = 2 if level else 1
            dates //= step
            shrink = GatedConv(width, out_width, (step, 2, 2))
            blocks = [
                VistaFormerBlock(out_width, heads, mlp_ratio, drop_rate, drop_path_rate)
                for _ in range(depth)
            ]
            self.embed.append(shrink if level else nn.Sequential(shrink, nn.BatchNorm3d(out_width)))
            self.blocks.append(nn.Sequential(*blocks))
            self.norm.append(nn.LayerNorm(out_width))
            self.collapse.append(nn.Conv3d(out_width, channels, (dates, 1, 1)))
            width = out_width
        self.apply(_initialise)

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Map (N, T * (C + 1), H, W) to one feature image (N, levels * channels, H, W).

        Raises:
            ValueError: The series is longer than ``num_dates``, or a side cannot be halved once
                per level.
        """
        series, days = unfold_time(inputs, self.in_channels)
        dates, size, multiple = series.shape[1], series.shape[-2:], 2 ** len(self.embed)
        if dates > self.num_dates:
            raise ValueError(
                f'a series of {dates} dates, but model.backbone.num_dates={self.num_dates}: set it '
                f'to {dates}, or load fewer (data_preprocessor.num_dates, num_dates of LoadSITS)'
            )
        if any(side % multiple for side in size):
            raise ValueError(
                f'VistaFormer halves {len(self.embed)} times: expected sides that are multiples '
                f'of {multiple}, got {size[0]} x {size[1]}. Set window_size of the dataset and '
                f"crop_size of test_cfg (mode='slide')"
            )
        real = (days > 0).to(series.dtype)[:, None, :, None, None]
        x = series.transpose(1, 2) * real
        x = F.pad(x, (0, 0, 0, 0, 0, self.num_dates - dates))
        images = []
        levels = zip(self.embed, self.blocks, self.norm, self.collapse, strict=True)
        for embed, blocks, norm, collapse in levels:
            x = norm(blocks(rearrange(embed(x), 'n d t h w -> n t h w d')))
            x = rearrange(x, 'n t h w d -> n d t h w')
            image = collapse(x).squeeze(2)
            images.append(F.interpolate(image, size, mode='bilinear', align_corners=False))
        return (torch.cat(images, dim=1),)


def _initialise(part: nn.Module) -> None:
    """Initialise as published: the blocks by hand, the other convolutions as torch does."""
    if isinstance(part, nn.Linear):
        nn.init.trunc_normal_(part.weight, std=0.02)
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    elif isinstance(part, nn.Conv3d) and part.groups > 1:
        nn.init.normal_(part.weight, std=(2 / 9) ** 0.5)
        assert part.bias is not None
        nn.init.zeros_(part.bias)
