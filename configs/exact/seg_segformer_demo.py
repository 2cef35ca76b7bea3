"""A small SegFormer (MiT-B0) behind a TemporalStem on the demo's pseudo masks.

python tools/train.py configs/exact/seg_segformer_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo.py', '../_base_/models/seg_segformer.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        channels=32,
        num_heads=4,
        d_model=32,
        backbone=dict(in_channels=32, embed_dims=16, drop_path_rate=0),
    ),
    decode_head=dict(in_channels=[16, 32, 80, 128], channels=64, num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_segformer'
