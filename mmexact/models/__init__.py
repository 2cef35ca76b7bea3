"""Models, registered with MMSegmentation."""

from .cls_head import ClassTokenHead
from .data_preprocessor import SITSDataPreprocessor
from .exact import ExactClassifier
from .spatial_clue_head import SpatialClueHead
from .temporal_clue_head import TemporalClueHead
from .tsvit import TSViT, TSViTHead, TSViTOutput

__all__ = [
    'ClassTokenHead',
    'ExactClassifier',
    'SITSDataPreprocessor',
    'SpatialClueHead',
    'TSViT',
    'TSViTHead',
    'TSViTOutput',
    'TemporalClueHead',
]
