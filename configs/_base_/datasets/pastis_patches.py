"""PASTIS for stage 3: trains on windows, validates and tests on whole patches with true labels."""

_base_ = './pastis_windows.py'

train_pipeline = [
    dict(type='LoadSITS', num_dates=60),
    dict(type='LoadSITSAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(window_size=None))
test_dataloader = dict(batch_size=1, dataset=dict(window_size=None, folds={{_base_.test_folds}}))

val_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
