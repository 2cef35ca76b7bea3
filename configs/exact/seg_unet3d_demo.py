"""A small UNet3D on the demo's pseudo masks.

It does not know the days, so it sees monthly composites, at even distances.

python tools/train.py configs/exact/seg_unet3d_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo_composites.py', '../_base_/models/seg_unet3d.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(base_width=4),
    decode_head=dict(in_channels=8, num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_unet3d'
