"""U-TAE (Garnot and Landrieu, ICCV 2021): a U-Net whose skips attend to the dates.

The lowest level is collapsed by a lightweight temporal attention encoder (L-TAE); its attention,
enlarged, weighs the dates of every skip connection. What stands in padded dates (day of year 0)
does not matter; how many there are moves the L-TAE's group norm a little, as it is published.
"""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.temporal_unet import TemporalUNet

HIDDEN = -1e3
"""Score of a padded date before the softmax."""
PERIOD = 1000
"""Longest wavelength base of the positional encoding, in days."""


class LTAE(nn.Module):
    """Lightweight temporal attention: every head has one learned query and its own channels.

    Args:
        width: Channels in and out.
        d_model: Channels that the heads share out.
        num_heads: Number of heads.
        d_k: Width of queries and keys.
        drop_rate: Dropout of attention and output, 0..1.
        norm_dates_apart: Normalise the channels of every date on their own, as the L-TAE was first
            published (Garnot and Landrieu 2020): padded dates then change nothing. U-TAE
            normalises groups of channels over all dates, padded ones too.
    """

    wavelength: Tensor

    def __init__(
        self,
        width: int,
        d_model: int,
        num_heads: int,
        d_k: int,
        drop_rate: float,
        norm_dates_apart: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_dates_apart = norm_dates_apart
        self.in_norm = nn.LayerNorm(width) if norm_dates_apart else nn.GroupNorm(num_heads, width)
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
        if self.norm_dates_apart:
            pixels = self.in_norm(rearrange(x, 'n t c h w -> (n h w) t c'))
        else:
            pixels = self.in_norm(rearrange(x, 'n t c h w -> (n h w) c t')).transpose(1, 2)
        places = height * width
        values = self.in_proj(pixels) + self.encode_days(days).repeat_interleave(places, 0)
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
class UTAE(TemporalUNet):
    """U-TAE without its last convolutions, which
    :class:`~mmexact.models.heads.utae_head.UTAEHead` holds.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        encoder_widths: Channels of the levels, the finest first.
        decoder_widths: Channels of the levels on the way up; the last equals the encoder's.
        num_heads: Heads of the L-TAE; divides ``d_model`` and all encoder widths.
        d_model: Channels that the heads share out.
        d_k: Width of queries and keys.
        drop_rate: Dropout of the L-TAE, 0..1.
        reference_day: Day of year from which days are counted, across new year; the published
            weights count from 244, the first of September. None takes days of year as they are.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The settings do not fit each other.
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
        reference_day: int | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels, encoder_widths, decoder_widths, reference_day, init_cfg)
        odd = [width for width in (d_model, *encoder_widths) if width % num_heads]
        if odd:
            raise ValueError(
                f'num_heads={num_heads} does not divide {odd[0]}; expected a divisor of d_model='
                f'{d_model} and of all encoder_widths={list(encoder_widths)}'
            )
        self.temporal_encoder = LTAE(encoder_widths[-1], d_model, num_heads, d_k, drop_rate)

    def collapse(self, x: Tensor, days: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to the dates; each head's attention weighs its own channels of the skips."""
        return self.temporal_encoder(x, days, padded)
