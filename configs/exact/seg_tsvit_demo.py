"""Stage 3 of `make demo`: a small TSViT learns from the demo's refined masks.

python tools/gen_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/iter_400.pth
python tools/refine_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/pseudo_masks
python tools/train.py configs/exact/seg_tsvit_demo.py --amp
"""

_base_ = ['../_base_/stages/seg_demo.py', '../_base_/models/seg_tsvit_small.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(num_classes=_base_.num_classes),
    decode_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/demo/seg'
