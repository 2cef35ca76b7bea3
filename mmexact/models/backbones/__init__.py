"""Networks that read a series."""

from mmexact.models.backbones.temporal_stem import TemporalStack, TemporalStem
from mmexact.models.backbones.tsvit import TSViT, TSViTOutput
from mmexact.models.backbones.uconvlstm import UConvLSTM
from mmexact.models.backbones.unet3d import UNet3D
from mmexact.models.backbones.utae import UTAE
from mmexact.models.backbones.vistaformer import VistaFormer

__all__ = [
    'UTAE',
    'TSViT',
    'TSViTOutput',
    'TemporalStack',
    'TemporalStem',
    'UConvLSTM',
    'UNet3D',
    'VistaFormer',
]
