"""Stage 3 on PASTIS: FCN (ResNet-18) on monthly composites, on the pseudo masks of stage 2.

python tools/train.py configs/exact/seg_fcn_pastis.py
"""

_base_ = ['../_base_/stages/seg_pastis_composites.py', '../_base_/models/seg_fcn.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/seg_fcn_pastis/rotation{{$ROTATION:1}}'
