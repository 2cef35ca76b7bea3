"""Heads of the classifier and of the segmentors."""

from mmexact.models.heads.class_token_head import ClassTokenHead
from mmexact.models.heads.spatial_clue_head import SpatialClueHead
from mmexact.models.heads.temporal_clue_head import TemporalClueHead
from mmexact.models.heads.tsvit_head import TSViTHead
from mmexact.models.heads.utae_head import UTAEHead

__all__ = ['ClassTokenHead', 'SpatialClueHead', 'TSViTHead', 'TemporalClueHead', 'UTAEHead']
