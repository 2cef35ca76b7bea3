"""Stages 1 and 2 on a user's own area: a small classifier that a laptop can train.

Goes beside a file with the dict `area`, see mmexact.apis.areas; tools/start_project.py writes one.
"""

_base_ = [
    '../datasets/raster_series.py',
    '../models/exact_tsvit_small.py',
    '../schedules/schedule_exact.py',
    '../default_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=[_base_.load, _base_.flip, _base_.pack]))
val_evaluator = [dict(type='mmpretrain.AveragePrecision'), dict(type='PseudoLabelMetric')]
test_evaluator = val_evaluator
# Prototypes follow faster than the paper's 0.999, since a training is much shorter.
model = dict(spatial_clue_head=dict(momentum=0.98))
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
