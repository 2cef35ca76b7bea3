"""Stage 3 on the synthetic tree: trains on the demo's pseudo masks, tests on whole patches."""

_base_ = [
    '../datasets/pastis.py',
    '../datasets/synthetic_pastis.py',
    '../schedules/schedule_segmentor_demo.py',
    '../default_runtime.py',
]

data_preprocessor = _base_.synthetic_preprocessor
patches = dict(**_base_.synthetic, window_size=None)

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        **_base_.synthetic,
        pseudo_label_dir='work_dirs/demo/cls/pseudo_masks',
        pipeline=[_base_.load_some_dates, _base_.annotate, _base_.flip, _base_.pack],
    ),
)
val_dataloader = dict(batch_size=1, num_workers=1, dataset=patches)
test_dataloader = dict(
    batch_size=1, num_workers=1, dataset=dict(**patches, folds=_base_.test_folds)
)

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
