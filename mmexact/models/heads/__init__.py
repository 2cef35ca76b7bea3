"""Heads of the classifier and of TSViT as a segmentor."""

from mmexact.models.heads.class_token_head import ClassTokenHead
from mmexact.models.heads.spatial_clue_head import SpatialClueHead
from mmexact.models.heads.temporal_clue_head import TemporalClueHead
from mmexact.models.heads.tsvit_head import TSViTHead

__all__ = ['ClassTokenHead', 'SpatialClueHead', 'TSViTHead', 'TemporalClueHead']
