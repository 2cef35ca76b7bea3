"""Stage 1 on PASTIS: the paper's classifier and recipe (on one GPU or several: 48 windows in all).

python tools/train.py configs/exact/cls_pastis.py
"""

_base_ = ['../_base_/stages/cls_pastis.py', '../_base_/models/exact_tsvit.py']

num_crops = 18
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(num_classes=num_crops),
    spatial_clue_head=dict(num_classes=num_crops),
)
work_dir = './work_dirs/cls_pastis/rotation{{$ROTATION:1}}'
