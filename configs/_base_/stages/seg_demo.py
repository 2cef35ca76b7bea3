"""Stage 3 on the synthetic tree: trains on the demo's pseudo masks, tests on whole patches.

Takes minutes on two CPU cores.
"""

_base_ = [
    '../datasets/pastis.py',
    '../datasets/synthetic_pastis.py',
    '../schedules/schedule_segmentor.py',
    '../default_runtime.py',
]

data_preprocessor = _base_.synthetic_preprocessor
patches = dict(**_base_.synthetic, window_size=None)

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        **_base_.synthetic,
        pseudo_label_dir='work_dirs/demo/cls/refined_masks',
        pipeline=[_base_.load_some_dates, _base_.annotate, _base_.flip, _base_.pack],
    ),
)
val_dataloader = dict(batch_size=1, num_workers=1, dataset=patches)
test_dataloader = dict(
    batch_size=1, num_workers=1, dataset=dict(**patches, folds=_base_.test_folds)
)

max_iters = 300
warmup_iters = 30
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
