"""What makes an image of a series, so that any 2-D backbone can follow.

:class:`TemporalStem` learns to collapse the dates; :class:`TemporalStack` lays them side by side.
Both wrap a backbone of MMSegmentation or MMPretrain, given by its config.
"""

from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.utae import LTAE
from mmexact.sits import unfold_time

RGB = 3


def first_convolution(network: nn.Module) -> nn.Conv2d | None:
    """Find the 2-D convolution that a network defines first: the one that reads its input."""
    return next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)


def has_in_channels(network: nn.Module) -> bool:
    """Tell whether a network's channels can be set, by an argument of it or of what it extends."""
    return any('in_channels' in signature(part).parameters for part in type(network).__mro__[:-1])


def adapt_rgb_weight(weight: Tensor, channels: int) -> Tensor:
    """Spread a first layer's weights for RGB over any number of channels.

    Channel c takes the weights of colour c modulo 3, divided by how many channels take that
    colour: an image whose channels repeat an RGB image gets the response of that image.

    Args:
        weight: (out, 3, k, k).
        channels: Number C of channels, at least 3.

    Returns:
        (out, C, k, k).
    """
    colours = torch.arange(channels, device=weight.device) % RGB
    shares = colours.bincount(minlength=RGB)[colours]
    return weight[:, colours] / shares[:, None, None]


def _adapt_on_loading(conv: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    weight = state.get(f'{prefix}weight')
    if weight is not None and conv.groups == 1 and weight.shape[1] == RGB < conv.in_channels:
        state[f'{prefix}weight'] = adapt_rgb_weight(weight, conv.in_channels)


class ImageBackbone(BaseModule):
    """A wrapped 2-D backbone; a subclass makes the image that it sees.

    When weights of a backbone for RGB images are loaded (``init_cfg`` of the wrapped backbone),
    those of its first layer are spread over the channels, see :func:`adapt_rgb_weight`.

    Args:
        backbone: Config of a backbone of MMSegmentation, or of MMPretrain with 'mmpretrain.'
            before its name; its ``in_channels`` must be ``image_channels``.
        in_channels: Number of bands C, the day-of-year plane not counted.
        image_channels: Channels of the image.
        upsample: Factor by which the image is enlarged, bilinearly. Backbones for photographs
            shrink at once by four: with 4, their finest features have the window's resolution.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The wrapped backbone takes another number of channels.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        in_channels: int,
        image_channels: int,
        upsample: int = 1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.image_channels = image_channels
        self.upsample = upsample
        self.backbone = MODELS.build(backbone)
        first = first_convolution(self.backbone)
        if first is not None:
            if first.in_channels != image_channels:
                way_out = (
                    f'set model.backbone.backbone.in_channels={image_channels}'
                    if has_in_channels(self.backbone)
                    else f'it has no in_channels, so wrap it in a TemporalStem with '
                    f'channels={first.in_channels} and num_heads=1'
                )
                raise ValueError(
                    f'the first layer of {backbone["type"]} takes {first.in_channels} channels, '
                    f'{type(self).__name__} makes an image of {image_channels}: {way_out}'
                )
            first.register_load_state_dict_pre_hook(_adapt_on_loading)

    def forward(self, inputs: Tensor) -> Any:
        """Map (N, T * (C + 1), H, W) to the features of the wrapped backbone."""
        image = self.make_image(*unfold_time(inputs, self.in_channels))
        if self.upsample != 1:
            image = F.interpolate(
                image, scale_factor=self.upsample, mode='bilinear', align_corners=False
            )
        return self.backbone(image)

    def make_image(self, series: Tensor, days: Tensor) -> Tensor:
        """Map (N, T, C, H, W) and days (N, T), 0 where padded, to (N, image_channels, H, W)."""
        raise NotImplementedError


@MODELS.register_module()
class TemporalStem(ImageBackbone):
    """Collapses the dates of every pixel with an L-TAE, for a 2-D backbone.

    A convolution makes features of each date; the L-TAE of Garnot and Landrieu (2020) weighs the
    dates. Padded dates change nothing.

    Args:
        backbone: Config of the wrapped backbone, with ``in_channels=channels``.
        in_channels: Number of bands C, the day-of-year plane not counted.
        channels: Channels of the feature image.
        kernel_size: Odd side of the convolution of each date; 1 looks at single pixels.
        num_heads: Heads of the L-TAE; divides ``channels`` and ``d_model``.
        d_model: Channels that the heads share out.
        d_k: Width of queries and keys.
        drop_rate: Dropout of the L-TAE, 0..1.
        upsample: Factor by which the feature image is enlarged, see :class:`ImageBackbone`.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The settings do not fit each other, or the wrapped backbone.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        in_channels: int,
        channels: int = 64,
        kernel_size: int = 1,
        num_heads: int = 16,
        d_model: int = 128,
        d_k: int = 4,
        drop_rate: float = 0.1,
        upsample: int = 1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, in_channels, channels, upsample, init_cfg)
        if kernel_size % 2 == 0 or channels % num_heads or d_model % num_heads:
            raise ValueError(
                f'kernel_size={kernel_size}, num_heads={num_heads}, channels={channels}, d_model='
                f'{d_model}; expected an odd kernel_size, and num_heads to divide the other two'
            )
        self.embed = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2), nn.ReLU()
        )
        self.temporal_encoder = LTAE(
            channels, d_model, num_heads, d_k, drop_rate, norm_dates_apart=True
        )

    def make_image(self, series: Tensor, days: Tensor) -> Tensor:
        """Weigh the dates of every pixel."""
        features = self.embed(series.flatten(0, 1)).unflatten(0, days.shape)
        image, _ = self.temporal_encoder(features, days, days == 0)
        return image


@MODELS.register_module()
class TemporalStack(ImageBackbone):
    """Lays the bands of all dates side by side, for a 2-D backbone: an image of T x C channels.

    Every channel must mean the same in all samples, so the dates should be composites, see
    :class:`~mmexact.datasets.transforms.composites.MonthlyComposite`, or the same everywhere.

    Args:
        backbone: Config of the wrapped backbone, with ``in_channels=num_dates * in_channels``.
        in_channels: Number of bands C, the day-of-year plane not counted.
        num_dates: Number of dates T.
        upsample: Factor by which the image is enlarged, see :class:`ImageBackbone`.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The wrapped backbone takes another number of channels.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        in_channels: int,
        num_dates: int = 12,
        upsample: int = 1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, in_channels, num_dates * in_channels, upsample, init_cfg)
        self.num_dates = num_dates

    def make_image(self, series: Tensor, days: Tensor) -> Tensor:
        """Join dates and bands, date-major.

        Raises:
            ValueError: The series has another number of dates.
        """
        if series.shape[1] != self.num_dates:
            raise ValueError(
                f'a series of {series.shape[1]} dates, but model.backbone.num_dates='
                f'{self.num_dates}: set MonthlyComposite in the pipelines, or '
                f'data_preprocessor.num_dates={self.num_dates}'
            )
        return series.flatten(1, 2)
