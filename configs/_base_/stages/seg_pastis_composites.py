"""Stage 3 on PASTIS as monthly composites: the same windows and masks, twelve dates."""

_base_ = './seg_pastis.py'

data_preprocessor = dict(num_dates=12)
load = [dict(type='LoadSITS'), dict(type='MonthlyComposite')]
train_pipeline = [*load, _base_.annotate, _base_.flip, _base_.pack]
test_pipeline = [*load, _base_.annotate, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
