"""A small UPerNet with a ConvNeXt behind a TemporalStem on the demo's pseudo masks.

python tools/train.py configs/exact/seg_upernet_convnext_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo.py', '../_base_/models/seg_upernet_convnext.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        channels=32,
        num_heads=4,
        d_model=32,
        upsample=2,
        backbone=dict(in_channels=32, arch='atto', stem_patch_size=2, drop_path_rate=0),
    ),
    decode_head=dict(in_channels=[40, 80, 160, 320], channels=64, num_classes=_base_.num_classes),
    auxiliary_head=dict(in_channels=160, channels=32, num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_upernet_convnext'
