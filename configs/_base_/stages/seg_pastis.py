"""Stage 3 on PASTIS: trains on the windows' pseudo masks, tests on whole patches' true labels."""

_base_ = [
    '../datasets/pastis.py',
    '../schedules/schedule_segmentor.py',
    '../default_runtime.py',
]

num_classes = 19  # background and 18 crops

train_dataloader = dict(
    dataset=dict(
        pseudo_label_dir='work_dirs/cls_pastis/rotation{{$ROTATION:1}}/refined_masks',
        pipeline=[_base_.load, _base_.annotate, _base_.flip, _base_.pack],
    )
)
val_dataloader = dict(batch_size=1, dataset=dict(window_size=None))
test_dataloader = dict(batch_size=1, dataset=dict(window_size=None, folds=_base_.test_folds))

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
