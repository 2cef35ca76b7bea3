"""A small VistaFormer on the demo's pseudo masks.

It does not know the days, so it sees monthly composites, at even distances.

python tools/train.py configs/exact/seg_vistaformer_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo_composites.py', '../_base_/models/seg_vistaformer.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(num_dates=12, embed_dims=(16, 32, 64), channels=32),
    decode_head=dict(in_channels=96, channels=32, num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_vistaformer'
