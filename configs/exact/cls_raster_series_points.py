"""Stage 1 on your own dated rasters, with points or polygons for labels and no label raster.

python tools/train.py configs/exact/cls_raster_series_points.py --amp
"""

_base_ = ['./cls_raster_series.py', '../_base_/datasets/raster_series_labels.py']

# No pixel masks, and so no LoadSITSAnnotations and no PseudoLabelMetric.
data = dict(series=dict(area=dict(mask=None)), labels={{_base_.weak_labels}})
test_pipeline = [
    dict(type='LoadSITS', num_dates=60, date_choice='even'),
    dict(type='PackSITSInputs'),
]
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=dict(**data, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmpretrain.AveragePrecision')]
test_evaluator = val_evaluator
work_dir = './work_dirs/raster_series_points/cls'
