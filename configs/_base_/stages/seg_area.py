"""Stage 3 on a user's own area: a small TSViT learns from the pseudo masks of stage 2.

Goes beside a file with the dict `area`, see mmexact.apis.areas; tools/start_project.py writes one.
"""

_base_ = [
    '../datasets/raster_series.py',
    '../models/seg_tsvit_small.py',
    '../schedules/schedule_segmentor.py',
    '../default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(pipeline=[_base_.load, _base_.annotate, _base_.flip, _base_.pack])
)
val_dataloader = dict(batch_size=1)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
