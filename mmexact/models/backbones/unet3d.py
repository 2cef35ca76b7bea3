"""UNet3D (Rustowicz et al., CVPR workshops 2019): a U-Net that convolves dates like rows.

In the widths in which Garnot and Landrieu (ICCV 2021) compare it with U-TAE on PASTIS: 1,554,000
parameters, the dates averaged at the end. Its last layer, which gives the classes, is the decode
head here: a mean over dates and a convolution commute.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.sits import unfold_time

HALVINGS = 2
"""How often height, width and dates are halved."""


def layer(conv: nn.Module, width: int) -> nn.Sequential:
    """Put normalisation and leaky ReLU behind a convolution."""
    return nn.Sequential(conv, nn.BatchNorm3d(width), nn.LeakyReLU())


def conv_pair(width: int, middle: int, out_width: int) -> nn.ModuleList:
    """Stack two convolutions over (dates, height, width)."""
    return nn.ModuleList(
        layer(nn.Conv3d(before, after, 3, padding=1), after)
        for before, after in pairwise((width, middle, out_width))
    )


def enlarging(width: int, out_width: int) -> nn.ConvTranspose3d:
    """Double dates, height and width."""
    return nn.ConvTranspose3d(width, out_width, 3, stride=2, padding=1, output_padding=1)


def apply_masked(layers: nn.ModuleList, x: Tensor, real: Tensor) -> Tensor:
    """Run layers and empty the padded dates behind each, so that they reach no neighbour."""
    for one in layers:
        x = one(x) * real
    return x


@MODELS.register_module()
class UNet3D(BaseModule):
    """A U-Net with 3-D convolutions whose output is averaged over the real dates.

    Padded dates are emptied behind every layer: they change no output of the trained network. In
    training, batch norm counts them.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        base_width: A quarter of the finest level's channels; the output has twice as many.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self, in_channels: int, base_width: int = 8, init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        fine, middle, low = 4 * base_width, 8 * base_width, 16 * base_width
        self.down_fine = conv_pair(in_channels, fine, fine)
        self.down_middle = conv_pair(fine, middle, middle)
        self.lowest = conv_pair(middle, low, low)
        self.up_middle = enlarging(low, middle)
        self.join_middle = conv_pair(2 * middle, middle, middle)
        self.up_fine = layer(enlarging(middle, fine), fine)
        self.join_fine = conv_pair(2 * fine, fine, 2 * base_width)

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """Map (N, T * (C + 1), H, W) to one feature image (N, 2 * base_width, H, W).

        Raises:
            ValueError: Height or width cannot be halved twice.
        """
        series, days = unfold_time(inputs, self.in_channels)
        multiple = 2**HALVINGS
        height, width = series.shape[-2:]
        if height % multiple or width % multiple:
            raise ValueError(
                f'UNet3D halves {HALVINGS} times: expected sides that are multiples of {multiple}, '
                f'got {height} x {width}. Set window_size of the dataset and crop_size of test_cfg '
                f"(mode='slide')"
            )
        lacking = -days.shape[1] % multiple
        days = F.pad(days, (0, lacking))
        bands = F.pad(series.transpose(1, 2), (0, 0, 0, 0, 0, lacking))
        real = (days > 0).to(bands.dtype)[:, None, :, None, None]
        real_middle = F.max_pool3d(real, (2, 1, 1))
        real_low = F.max_pool3d(real_middle, (2, 1, 1))

        fine = apply_masked(self.down_fine, bands * real, real)
        middle = apply_masked(self.down_middle, F.max_pool3d(fine, 2), real_middle)
        low = apply_masked(self.lowest, F.max_pool3d(middle, 2), real_low)
        joined = torch.cat([self.up_middle(low) * real_middle, middle], dim=1)
        middle = apply_masked(self.join_middle, joined, real_middle)
        joined = torch.cat([self.up_fine(middle) * real, fine], dim=1)
        fine = apply_masked(self.join_fine, joined, real)
        return (fine.sum(2) / real.sum(2).clamp(min=1),)
