"""The synthetic tree for stage 3 as monthly composites."""

_base_ = './synthetic_patches.py'

train_pipeline = [
    # Fewer dates than there are, so that a month looks different at every step.
    dict(type='LoadSITS', num_dates=16, date_choice='random'),
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
