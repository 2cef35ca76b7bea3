"""Stage 3 on the synthetic tree as monthly composites."""

_base_ = './seg_demo.py'

composite = dict(type='MonthlyComposite')
# Fewer dates than there are, so that a month looks different at every step.
load_some_dates = dict(type='LoadSITS', num_dates=16, date_choice='random')
train_pipeline = [load_some_dates, composite, _base_.annotate, _base_.flip, _base_.pack]
test_pipeline = [dict(type='LoadSITS'), composite, _base_.annotate, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
