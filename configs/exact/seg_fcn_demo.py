"""A small FCN (ResNet-18) on monthly composites on the demo's pseudo masks.

python tools/train.py configs/exact/seg_fcn_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo_composites.py', '../_base_/models/seg_fcn.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(backbone=dict(stem_channels=16, base_channels=16)),
    decode_head=dict(in_channels=128, channels=64, num_classes=_base_.num_classes),
    auxiliary_head=dict(in_channels=64, channels=32, num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_fcn'
