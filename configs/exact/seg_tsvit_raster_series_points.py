"""Stage 3 on your own dated rasters, with points or polygons for labels and no label raster.

python tools/gen_pseudo.py configs/exact/cls_raster_series_points.py \
    work_dirs/raster_series_points/cls/iter_300.pth
python tools/train.py configs/exact/seg_tsvit_raster_series_points.py --amp
"""

_base_ = ['./seg_tsvit_raster_series.py', '../_base_/datasets/raster_series_labels.py']

train_dataloader = dict(
    dataset=dict(
        series=dict(area=dict(mask=None)),
        labels={{_base_.weak_labels}},  # the windows that have pseudo masks
        pseudo_label_dir='work_dirs/raster_series_points/cls/pseudo_masks',
    )
)
# Nothing to validate and to test against; tools/predict.py maps what test_dataloader says.
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = dict(
    dataset=dict(
        series=dict(area=dict(mask=None)),
        pipeline=[
            dict(type='LoadSITS', num_dates=60, date_choice='even'),
            dict(type='PackSITSInputs'),
        ],
    )
)
test_evaluator = []
work_dir = './work_dirs/raster_series_points/seg'
