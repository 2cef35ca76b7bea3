"""A small U-TAE on the demo's pseudo masks.

python tools/train.py configs/exact/seg_utae_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo.py', '../_base_/models/seg_utae.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(encoder_widths=(32, 32, 64), decoder_widths=(32, 32, 64), d_model=64),
    decode_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_utae'
