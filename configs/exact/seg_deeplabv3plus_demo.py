"""A small DeepLabV3+ (ResNet-18) on monthly composites on the demo's pseudo masks.

python tools/train.py configs/exact/seg_deeplabv3plus_demo.py --amp
"""

_base_ = [
    '../_base_/datasets/synthetic_composites.py',
    '../_base_/models/seg_deeplabv3plus.py',
    '../_base_/schedules/schedule_segmentor_demo.py',
    '../_base_/demo_runtime.py',
]

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(backbone=dict(stem_channels=16, base_channels=16)),
    decode_head=dict(in_channels=128, c1_in_channels=16, channels=64, num_classes=9),
    auxiliary_head=dict(in_channels=64, channels=32, num_classes=9),
)
work_dir = './work_dirs/demo/seg_deeplabv3plus'
