"""Stage 3 on PASTIS: FCN (ResNet-18) on monthly composites, on the pseudo masks of stage 2.

python tools/train.py configs/exact/seg_fcn_pastis.py
"""

_base_ = [
    '../_base_/datasets/pastis_composites.py',
    '../_base_/models/seg_fcn.py',
    '../_base_/schedules/schedule_segmentor.py',
    '../_base_/default_runtime.py',
]

work_dir = './work_dirs/seg_fcn_pastis/rotation{{$ROTATION:1}}'
pseudo_label_dir = 'work_dirs/cls_pastis/rotation{{$ROTATION:1}}/pseudo_masks'
model = dict(data_preprocessor={{_base_.data_preprocessor}})
train_dataloader = dict(dataset=dict(pseudo_label_dir=pseudo_label_dir))
