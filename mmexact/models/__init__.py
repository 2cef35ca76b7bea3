"""Models, registered with MMSegmentation."""

from mmexact.models.cls_head import ClassTokenHead
from mmexact.models.conv_recurrent import UConvLSTM
from mmexact.models.data_preprocessor import SITSDataPreprocessor
from mmexact.models.exact import ExactClassifier
from mmexact.models.spatial_clue_head import SpatialClueHead
from mmexact.models.temporal_clue_head import TemporalClueHead
from mmexact.models.temporal_stem import TemporalStack, TemporalStem
from mmexact.models.tsvit import TSViT, TSViTOutput
from mmexact.models.tsvit_head import TSViTHead
from mmexact.models.unet3d import UNet3D
from mmexact.models.utae import UTAE, UTAEHead
from mmexact.models.weighted_segmentor import WeightedEncoderDecoder

__all__ = [
    'UTAE',
    'ClassTokenHead',
    'ExactClassifier',
    'SITSDataPreprocessor',
    'SpatialClueHead',
    'TSViT',
    'TSViTHead',
    'TSViTOutput',
    'TemporalClueHead',
    'TemporalStack',
    'TemporalStem',
    'UConvLSTM',
    'UNet3D',
    'UTAEHead',
    'WeightedEncoderDecoder',
]
