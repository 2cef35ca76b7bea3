"""What runs around the models: hooks, optimizer wrapper, checkpoints, start of processes."""

from mmexact.engine.process import BFloat16OptimWrapper, SavePredictionsHook
from mmexact.engine.pseudo_label_hook import PseudoLabelHook
from mmexact.engine.segmentor_check import SegmentorCheckHook

__all__ = ['BFloat16OptimWrapper', 'PseudoLabelHook', 'SavePredictionsHook', 'SegmentorCheckHook']
