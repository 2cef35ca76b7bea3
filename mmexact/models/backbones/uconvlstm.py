"""U-ConvLSTM: a U-Net whose lowest level is read by a convolutional LSTM, date after date.

After Rustowicz et al., "Semantic segmentation of crop type in Africa: a novel dataset and analysis
of deep learning methods", CVPR workshops 2019, in the form in which Garnot and Landrieu (ICCV 2021)
compare it with U-TAE on PASTIS: the U-Net is U-TAE's, and its skips are means over the dates.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.temporal_unet import TemporalUNet


class ConvLSTM(nn.Module):
    """A long short-term memory whose gates are convolutions (Shi et al. 2015), without peepholes.

    Args:
        width: Channels of an input image.
        hidden_width: Channels of the state.
        kernel_size: Odd side of the gates' kernels.
    """

    def __init__(self, width: int, hidden_width: int, kernel_size: int) -> None:
        super().__init__()
        self.hidden_width = hidden_width
        gates, border = 4 * hidden_width, kernel_size // 2
        self.from_input = nn.Conv2d(width, gates, kernel_size, padding=border)
        self.from_state = nn.Conv2d(hidden_width, gates, kernel_size, padding=border, bias=False)

    def forward(self, x: Tensor, padded: Tensor) -> Tensor:
        """Read (N, T, width, h, w) in order; dates that are True in padded (N, T) are skipped.

        Returns:
            The state after the last real date, (N, hidden_width, h, w).
        """
        inputs = self.from_input(x.flatten(0, 1)).unflatten(0, padded.shape)
        state = memory = inputs.new_zeros(len(x), self.hidden_width, *x.shape[-2:])
        for gates, skipped in zip(inputs.unbind(1), padded.unbind(1), strict=True):
            let_in, keep, let_out, new = (gates + self.from_state(state)).chunk(4, dim=1)
            next_memory = keep.sigmoid() * memory + let_in.sigmoid() * new.tanh()
            next_state = let_out.sigmoid() * next_memory.tanh()
            skip = skipped[:, None, None, None]
            memory = torch.where(skip, memory, next_memory)
            state = torch.where(skip, state, next_state)
        return state


@MODELS.register_module()
class UConvLSTM(TemporalUNet):
    """U-ConvLSTM without its last convolutions, for which :class:`UTAEHead` fits.

    Padded dates change nothing.

    Args:
        in_channels: Number of bands C, the day-of-year plane not counted.
        encoder_widths: Channels of the levels, the finest first.
        decoder_widths: Channels of the levels on the way up; the last equals the encoder's.
        hidden_width: Channels of the LSTM's state.
        kernel_size: Odd side of the LSTM's kernels.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: The settings do not fit each other.
    """

    def __init__(
        self,
        in_channels: int,
        encoder_widths: Sequence[int] = (64, 64, 64, 128),
        decoder_widths: Sequence[int] = (32, 32, 64, 128),
        hidden_width: int = 64,
        kernel_size: int = 3,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels, encoder_widths, decoder_widths, init_cfg=init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size={kernel_size}; expected an odd number')
        width = encoder_widths[-1]
        self.temporal_encoder = ConvLSTM(width, hidden_width, kernel_size)
        self.widen = nn.Conv2d(hidden_width, width, 3, padding=1)

    def collapse(self, x: Tensor, days: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Read the dates in order; all real dates weigh alike in the skips."""
        real = (~padded).to(x.dtype)
        weights = real / real.sum(1, keepdim=True).clamp(min=1)
        grid = weights[None, :, :, None, None].expand(-1, -1, -1, *x.shape[-2:])
        return self.widen(self.temporal_encoder(x, padded)), grid
