"""Models, registered with MMSegmentation."""

from mmexact.models.backbones import (
    UTAE,
    TemporalStack,
    TemporalStem,
    TSViT,
    TSViTOutput,
    UConvLSTM,
    UNet3D,
    VistaFormer,
)
from mmexact.models.data_preprocessor import SITSDataPreprocessor
from mmexact.models.heads import (
    ClassTokenHead,
    SpatialClueHead,
    TemporalClueHead,
    TSViTHead,
    UTAEHead,
)
from mmexact.models.segmentors import ExactClassifier

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
    'VistaFormer',
]
