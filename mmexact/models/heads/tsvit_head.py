"""The decode head of TSViT as a segmentor."""

from typing import Any, Literal

from einops import rearrange
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmexact.models.backbones.tsvit import TSViTOutput


@MODELS.register_module()
class TSViTHead(BaseDecodeHead):
    """Turns each class's spatial tokens into that class's logits of the pixels of the patch.

    Args:
        patch_size: Side p of a patch in pixels, the backbone's.
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
        init_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
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
            ValueError: The backbone has another number of class tokens than this head classes, or
                patches of another size.
        """
        tokens = self._transform_inputs(inputs)
        if tokens.shape[1] != self.num_classes:
            raise ValueError(
                f'decode_head.num_classes={self.num_classes}, but the backbone has '
                f'{tokens.shape[1]} class tokens (backbone.num_classes): set both alike'
            )
        if inputs.patch_size != self.patch_size:
            raise ValueError(
                f'decode_head.patch_size={self.patch_size}, but backbone.patch_size='
                f'{inputs.patch_size}: set both alike'
            )
        pixels = self.to_pixels(self.norm(rearrange(tokens, 'n k d h w -> n k h w d')))
        side = self.patch_size
        if self.pixel_order == 'patch':
            return rearrange(pixels, 'n k h w (p q) -> n k (h p) (w q)', p=side, q=side)
        height, width = pixels.shape[2] * side, pixels.shape[3] * side
        return pixels.reshape(*pixels.shape[:2], height, width)
