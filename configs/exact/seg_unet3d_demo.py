"""A small UNet3D on the demo's pseudo masks.

python tools/train.py configs/exact/seg_unet3d_demo.py --amp
"""

_base_ = [
    '../_base_/datasets/synthetic_patches.py',
    '../_base_/models/seg_unet3d.py',
    '../_base_/schedules/schedule_segmentor_demo.py',
    '../_base_/demo_runtime.py',
]

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(base_width=4),
    decode_head=dict(in_channels=8, num_classes=9),
)
work_dir = './work_dirs/demo/seg_unet3d'
