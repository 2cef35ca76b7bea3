"""A user's own dated rasters for stage 3: trains on windows, tests on the whole area."""

_base_ = './raster_series_windows.py'

train_pipeline = [
    dict(type='LoadSITS', num_dates=60, date_choice='even'),
    dict(type='LoadSITSAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(window_size=None))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
