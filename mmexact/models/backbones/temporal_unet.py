"""A U-Net over the dates of a series: the part that U-TAE and U-ConvLSTM share.

Every date goes down on its own; one subclass's temporal encoder collapses the lowest level, and
weights for the dates collapse the skips. Garnot and Landrieu, ICCV 2021, section 3.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmexact.sits import unfold_time

GROUPS = 4
"""Groups of the encoder's group norm."""
NEW_YEAR = 365
"""Days to add when the days of year of a series start again."""


def conv_layers(widths: Sequence[int], norm: type[nn.Module], **conv: Any) -> nn.Sequential:
    """Stack convolution, normalisation and ReLU for each step of ``widths``."""
    conv = dict(kernel_size=3, padding=1, stride=1) | conv
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(nn.Conv2d(before, after, padding_mode='reflect', **conv))
        layers.append(nn.GroupNorm(GROUPS, after) if norm is nn.GroupNorm else norm(after))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def days_since(days: Tensor, reference_day: int) -> Tensor:
    """Count days from a day of year on, across new year.

    Args:
        days: (N, T) days of year in the order of acquisition, 0 where padded. Where they decrease,
            a new year has begun.
        reference_day: Day of the first date's year that counts as 0; later than the first date, it
            lies in the year before.

    Returns:
        (N, T), 0 where padded.
    """
    index = torch.arange(days.shape[1], device=days.device).expand_as(days)
    first = (days > 0).int().argmax(1, keepdim=True)
    # Padded dates take the day of the real one before them, so that they start no year.
    latest = torch.where(days > 0, index, first).cummax(1).values
    known = days.gather(1, latest)
    years = F.pad((known.diff(dim=1) < 0).cumsum(1), (1, 0)) + (known[:, :1] < reference_day)
    return (known + NEW_YEAR * years - reference_day).masked_fill(days == 0, 0)


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


class TemporalUNet(BaseModule):
    """The convolutions on the way down and up; a subclass collapses the dates in between.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        encoder_widths: Channels of the levels, the finest first.
        decoder_widths: Channels of the levels on the way up; the last equals the encoder's.
        reference_day: Give the temporal encoder days since this day of year rather than days of
            year, see :func:`days_since`.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The widths do not fit each other.
    """

    def __init__(
        self,
        in_channels: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        reference_day: int | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if (len(encoder_widths), encoder_widths[-1]) != (len(decoder_widths), decoder_widths[-1]):
            raise ValueError(
                f'encoder_widths={list(encoder_widths)} and decoder_widths={list(decoder_widths)}; '
                f'expected as many levels in both, the last of them equally wide'
            )
        self.in_channels = in_channels
        self.reference_day = reference_day
        first = encoder_widths[0]
        self.in_conv = conv_layers([in_channels, first, first], nn.GroupNorm)
        self.down_blocks = nn.ModuleList(DownBlock(*pair) for pair in pairwise(encoder_widths))
        self.up_blocks = nn.ModuleList(
            UpBlock(decoder_widths[level], decoder_widths[level - 1], encoder_widths[level - 1])
            for level in range(len(encoder_widths) - 1, 0, -1)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Map (N, T * (C + 1), H, W) to one feature image (N, decoder_widths[0], H, W).

        Raises:
            ValueError: The levels do not fit into the window.
        """
        series, days = unfold_time(inputs, self.in_channels)
        multiple = 2 ** len(self.down_blocks)
        height, width = series.shape[-2:]
        if height % multiple or width % multiple or min(height, width) < 2 * multiple:
            raise ValueError(
                f'{type(self).__name__} halves {len(self.down_blocks)} times: expected sides that '
                f'are multiples of {multiple}, from {2 * multiple} pixels on, got {height} x '
                f"{width}. Set window_size of the dataset and crop_size of test_cfg (mode='slide')"
            )
        return (self.decode(*self.encode(series, days)),)

    def encode(self, series: Tensor, days: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Encode (N, T, C, H, W) and days (N, T), 0 where padded.

        Returns:
            The levels (N, T, width, h, w), the finest first, the collapsed last level
            (N, width, h, w), and the weights of the dates (heads, N, T, h, w), 0 at padded ones.
        """
        padded = days == 0
        real = (~padded)[:, :, None, None, None]
        x = series
        levels = []
        for block in (self.in_conv, *self.down_blocks):
            x = block(x.flatten(0, 1)).unflatten(0, days.shape) * real
            levels.append(x)
        if self.reference_day is not None:
            days = days_since(days, self.reference_day)
        collapsed, weights = self.collapse(x, days, padded)
        return levels, collapsed, weights * rearrange(~padded, 'n t -> 1 n t 1 1')

    def collapse(self, x: Tensor, days: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Collapse the dates of the last level.

        Args:
            x: (N, T, width, h, w), 0 at padded dates.
            days: (N, T).
            padded: True at padded dates, (N, T).

        Returns:
            (N, width, h, w), and the weights of the dates in each skip's groups of channels,
            (heads, N, T, h, w).
        """
        raise NotImplementedError

    def decode(self, levels: list[Tensor], x: Tensor, weights: Tensor) -> Tensor:
        """Go up again; the dates of each skip are weighed by the enlarged weights."""
        heads = weights.shape[0]
        for block, skip in zip(self.up_blocks, levels[-2::-1], strict=True):
            enlarged = F.interpolate(
                weights.flatten(0, 1), size=skip.shape[-2:], mode='bilinear', align_corners=False
            ).unflatten(0, weights.shape[:2])
            grouped = rearrange(skip, 'n t (heads c) h w -> heads n t c h w', heads=heads)
            collapsed = torch.einsum('gnthw,gntchw->gnchw', enlarged, grouped)
            x = block(x, rearrange(collapsed, 'g n c h w -> n (g c) h w'))
        return x
