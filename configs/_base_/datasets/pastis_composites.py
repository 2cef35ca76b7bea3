"""PASTIS for stage 3 as monthly composites: the same windows and masks, twelve dates."""

_base_ = './pastis_patches.py'

data_preprocessor = dict(num_dates=12)
train_pipeline = [
    dict(type='LoadSITS'),
    dict(type='MonthlyComposite'),
    dict(type='LoadSITSAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
test_pipeline = [
    dict(type='LoadSITS'),
    dict(type='MonthlyComposite'),
    dict(type='LoadSITSAnnotations'),
    dict(type='PackSITSInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
