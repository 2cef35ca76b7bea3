"""What runs around the models: hooks, optimizer wrapper, checkpoints, start of processes."""

from mmexact.engine.checkpoint import load_for_mmengine
from mmexact.engine.checkpoint_hook import ResumableCheckpointHook, WholeFileBackend
from mmexact.engine.optim_wrapper import BFloat16OptimWrapper
from mmexact.engine.pseudo_label_hook import PseudoLabelHook
from mmexact.engine.rank_watch_hook import RankWatchHook
from mmexact.engine.save_predictions_hook import SavePredictionsHook
from mmexact.engine.segmentor_check import SegmentorCheckHook

__all__ = [
    'BFloat16OptimWrapper',
    'PseudoLabelHook',
    'RankWatchHook',
    'ResumableCheckpointHook',
    'SavePredictionsHook',
    'SegmentorCheckHook',
    'WholeFileBackend',
    'load_for_mmengine',
]
