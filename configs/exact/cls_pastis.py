"""Stage 1 on PASTIS: the paper's classifier and recipe (on one GPU or several: 48 windows in all).

python tools/train.py configs/exact/cls_pastis.py
"""

_base_ = [
    '../_base_/datasets/pastis_windows.py',
    '../_base_/models/exact_tsvit.py',
    '../_base_/schedules/schedule_exact.py',
    '../_base_/default_runtime.py',
]

work_dir = './work_dirs/cls_pastis/rotation{{$ROTATION:1}}'
model = dict(data_preprocessor={{_base_.data_preprocessor}})
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=3))
