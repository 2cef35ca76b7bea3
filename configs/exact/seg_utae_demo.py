"""A small U-TAE on the demo's pseudo masks.

python tools/train.py configs/exact/seg_utae_demo.py --amp
"""

_base_ = [
    '../_base_/datasets/synthetic_patches.py',
    '../_base_/models/seg_utae.py',
    '../_base_/schedules/schedule_segmentor_demo.py',
    '../_base_/demo_runtime.py',
]

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(encoder_widths=(32, 32, 64), decoder_widths=(32, 32, 64), d_model=64),
    decode_head=dict(num_classes=9),
)
work_dir = './work_dirs/demo/seg_utae'
