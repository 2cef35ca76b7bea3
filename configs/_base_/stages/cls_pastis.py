"""Stages 1 and 2 on PASTIS: the classifier trains on windows and maps the same windows."""

_base_ = [
    '../datasets/pastis.py',
    '../schedules/schedule_exact.py',
    '../default_runtime.py',
]

# No LoadSITSAnnotations: image-level labels only.
train_dataloader = dict(dataset=dict(pipeline=[_base_.load, _base_.flip, _base_.pack]))
# Pseudo masks are wanted of the windows that stage 3 trains on, and are judged there.
test_dataloader = dict(dataset=dict(folds=_base_.train_folds))

val_evaluator = [dict(type='mmpretrain.AveragePrecision'), dict(type='PseudoLabelMetric')]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=3))
