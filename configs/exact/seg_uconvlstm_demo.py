"""A small U-ConvLSTM on the demo's pseudo masks.

python tools/train.py configs/exact/seg_uconvlstm_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo.py', '../_base_/models/seg_uconvlstm.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(encoder_widths=(32, 32, 64), decoder_widths=(32, 32, 64), hidden_width=32),
    decode_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg_uconvlstm'
