"""The decode head of U-TAE and U-ConvLSTM."""

from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.temporal_unet import conv_layers


@MODELS.register_module()
class UTAEHead(BaseDecodeHead):
    """The last two convolutions of U-TAE, each with normalisation and ReLU, as published.

    Args:
        init_cfg: MMEngine's initialisation config.
        **kwargs: Of ``BaseDecodeHead``; ``channels`` is the width between the two.
    """

    def __init__(self, init_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(dropout_ratio=0, init_cfg=init_cfg, **kwargs)
        del self.conv_seg
        widths = [self.in_channels, self.channels, self.num_classes]
        self.out_conv = conv_layers(widths, nn.BatchNorm2d)

    def forward(self, inputs: tuple[Tensor]) -> Tensor:
        """Map the feature image to logits (N, K, H, W), not negative."""
        return self.out_conv(self._transform_inputs(inputs))
