"""U-TAE (Garnot and Landrieu, ICCV 2021): a U-Net whose skips attend to the dates.

The lowest level is collapsed by a lightweight temporal attention encoder (L-TAE); its attention,
enlarged, weighs the dates of every skip connection. What stands in padded dates (day of year 0)
does not matter; how many there are moves the L-TAE's group norm a little, as it is published.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.sits import unfold_time

GROUPS = 4
"""Groups of the encoder's group norm."""
HIDDEN = -1e3
"""Score of a padded date before the softmax."""
PERIOD = 1000
"""Longest wavelength base of the positional encoding, in days."""


def conv_layers(widths: Sequence[int], norm: type[nn.Module], **conv) -> nn.Sequential:
    """Stack convolution, normalisation and ReLU for each step of ``widths``."""
    conv = dict(kernel_size=3, padding=1, stride=1) | conv
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(nn.Conv2d(before, after, padding_mode='reflect', **conv))
        layers.append(nn.GroupNorm(GROUPS, after) if norm is nn.GroupNorm else norm(after))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class DownBlock(nn.Module):
    """Halves the resolution and widens, with a residual convolution."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.down = conv_layers([width, width], nn.GroupNorm, kernel_size=4, stride=2)
        self.conv1 = conv_layers([width, out_width], nn.GroupNorm)
        self.conv2 = conv_layers([out_width, out_width], nn.GroupNorm)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to (B, out_width, H / 2, W / 2)."""
        x = self.conv1(self.down(x))
        return x + self.conv2(x)


class UpBlock(nn.Module):
    """Doubles the resolution, joins the skip, with a residual convolution."""

    def __init__(self, width: int, out_width: int, skip_width: int) -> None:
        super().__init__()
        self.skip_conv = nn.Sequential(
            nn.Conv2d(skip_width, skip_width, 1), nn.BatchNorm2d(skip_width), nn.ReLU()
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(width, out_width, 4, stride=2, padding=1),
            nn.BatchNorm2d(out_width),
            nn.ReLU(),
        )
        self.conv1 = conv_layers([out_width + skip_width, out_width], nn.BatchNorm2d)
        self.conv2 = conv_layers([out_width, out_width], nn.BatchNorm2d)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, H, W) and (B, skip_width, 2 H, 2 W) to (B, out_width, 2 H, 2 W)."""
        x = self.conv1(torch.cat([self.up(x), self.skip_conv(skip)], dim=1))
        return x + self.conv2(x)


class LTAE(nn.Module):
    """Lightweight temporal attention: every head has one learned query and its own channels.

    Args:
        width: Channels in and out.
        d_model: Channels that the heads share out.
        num_heads: Number of heads.
        d_k: Width of queries and keys.
        drop_rate: Dropout of attention and output, 0..1.
    """

    wavelength: Tensor

    def __init__(
        self, width: int, d_model: int, num_heads: int, d_k: int, drop_rate: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_norm = nn.GroupNorm(num_heads, width)
        self.in_proj = nn.Linear(width, d_model)
        self.query = nn.Parameter(torch.empty(num_heads, d_k))
        nn.init.normal_(self.query, std=(2 / d_k) ** 0.5)
        self.key = nn.Linear(d_model, num_heads * d_k)
        self.mlp = nn.Sequential(nn.Linear(d_model, width), nn.BatchNorm1d(width), nn.ReLU())
        self.out_norm = nn.GroupNorm(num_heads, width)
        self.drop = nn.Dropout(drop_rate)
        index = torch.arange(d_model // num_heads)
        wavelength = PERIOD ** (2 * (index // 2) / (d_model // num_heads))
        self.register_buffer('wavelength', wavelength.float(), persistent=False)

    def encode_days(self, days: Tensor) -> Tensor:
        """Encode days (N, T) as sines and cosines, alike for all heads: (N, T, d_model)."""
        angles = days.float().unsqueeze(-1) / self.wavelength
        angles = torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], -1).flatten(-2)
        return angles.repeat(1, 1, self.num_heads)

    def forward(self, x: Tensor, days: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Collapse the dates.

        Args:
            x: (N, T, width, h, w).
            days: (N, T).
            padded: True at padded dates, (N, T).

        Returns:
            (N, width, h, w), and the attention (heads, N, T, h, w).
        """
        samples, _, _, height, width = x.shape
        pixels = rearrange(x, 'n t c h w -> (n h w) c t')
        values = self.in_proj(self.in_norm(pixels).transpose(1, 2))
        places = height * width
        values = values + self.encode_days(days).repeat_interleave(places, 0)
        keys = rearrange(self.key(values), 'b t (heads d) -> b heads t d', heads=self.num_heads)
        scores = torch.einsum('hd,bhtd->bht', self.query, keys) / self.query.shape[1] ** 0.5
        hidden = padded.repeat_interleave(places, 0).unsqueeze(1)
        attention = self.drop(scores.masked_fill(hidden, HIDDEN).softmax(-1))
        heads = rearrange(values, 'b t (heads d) -> b heads t d', heads=self.num_heads)
        collapsed = torch.einsum('bht,bhtd->bhd', attention, heads).flatten(1)
        out = self.out_norm(self.drop(self.mlp(collapsed)))
        grid = dict(n=samples, h=height, w=width)
        return (
            rearrange(out, '(n h w) c -> n c h w', **grid),
            rearrange(attention, '(n h w) heads t -> heads n t h w', **grid),
        )


@MODELS.register_module()
class UTAE(BaseModule):
    """U-TAE without its last convolutions, which :class:`UTAEHead` holds.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        encoder_widths: Channels of the levels, the finest first.
        decoder_widths: Channels of the levels on the way up; the last equals the encoder's.
        num_heads: Heads of the L-TAE; divides ``d_model`` and all encoder widths.
        d_model: Channels that the heads share out.
        d_k: Width of queries and keys.
        drop_rate: Dropout of the L-TAE, 0..1.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        encoder_widths: Sequence[int] = (64, 64, 64, 128),
        decoder_widths: Sequence[int] = (32, 32, 64, 128),
        num_heads: int = 16,
        d_model: int = 256,
        d_k: int = 4,
        drop_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        first = encoder_widths[0]
        self.in_conv = conv_layers([in_channels, first, first], nn.GroupNorm)
        self.down_blocks = nn.ModuleList(DownBlock(*pair) for pair in pairwise(encoder_widths))
        self.temporal_encoder = LTAE(encoder_widths[-1], d_model, num_heads, d_k, drop_rate)
        self.up_blocks = nn.ModuleList(
            UpBlock(decoder_widths[level], decoder_widths[level - 1], encoder_widths[level - 1])
            for level in range(len(encoder_widths) - 1, 0, -1)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Map (N, T * (C + 1), H, W) to one feature image (N, decoder_widths[0], H, W)."""
        series, days = unfold_time(inputs, self.in_channels)
        return (self.decode(*self.encode(series, days)),)

    def encode(self, series: Tensor, days: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Encode (N, T, C, H, W) and days (N, T), 0 where padded.

        Returns:
            The levels (N, T, width, h, w), the finest first, the collapsed last level
            (N, width, h, w), and the attention (heads, N, T, h, w), 0 at padded dates.
        """
        padded = days == 0
        real = (~padded)[:, :, None, None, None]
        x = series
        levels = []
        for block in (self.in_conv, *self.down_blocks):
            x = block(x.flatten(0, 1)).unflatten(0, days.shape) * real
            levels.append(x)
        collapsed, attention = self.temporal_encoder(x, days, padded)
        return levels, collapsed, attention * rearrange(~padded, 'n t -> 1 n t 1 1')

    def decode(self, levels: list[Tensor], x: Tensor, attention: Tensor) -> Tensor:
        """Go up again; the dates of each skip are weighed by the enlarged attention."""
        heads = attention.shape[0]
        for block, skip in zip(self.up_blocks, levels[-2::-1], strict=True):
            weights = F.interpolate(
                attention.flatten(0, 1), size=skip.shape[-2:], mode='bilinear', align_corners=False
            ).unflatten(0, attention.shape[:2])
            grouped = rearrange(skip, 'n t (heads c) h w -> heads n t c h w', heads=heads)
            collapsed = torch.einsum('gnthw,gntchw->gnchw', weights, grouped)
            x = block(x, rearrange(collapsed, 'g n c h w -> n (g c) h w'))
        return x


@MODELS.register_module()
class UTAEHead(BaseDecodeHead):
    """The last two convolutions of U-TAE, each with normalisation and ReLU, as published.

    Args:
        init_cfg: MMEngine's initialisation config.
        **kwargs: Of ``BaseDecodeHead``; ``channels`` is the width between the two.
    """

    def __init__(self, init_cfg: dict | None = None, **kwargs) -> None:
        super().__init__(dropout_ratio=0, init_cfg=init_cfg, **kwargs)
        del self.conv_seg
        widths = [self.in_channels, self.channels, self.num_classes]
        self.out_conv = conv_layers(widths, nn.BatchNorm2d)

    def forward(self, inputs: tuple[Tensor]) -> Tensor:
        """Map the feature image to logits (N, K, H, W), not negative."""
        return self.out_conv(self._transform_inputs(inputs))
