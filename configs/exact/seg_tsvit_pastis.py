"""Stage 3 on PASTIS: TSViT learns from the pseudo masks of stage 2.

python tools/train.py configs/exact/seg_tsvit_pastis.py
"""

_base_ = ['../_base_/stages/seg_pastis.py', '../_base_/models/seg_tsvit.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(num_classes=_base_.num_classes),
    decode_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/seg_tsvit_pastis/rotation{{$ROTATION:1}}'
