"""Stage 3 of `make demo`: a small TSViT learns from the demo's pseudo masks.

python tools/gen_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/iter_900.pth
python tools/train.py configs/exact/seg_tsvit_demo.py --amp
"""

_base_ = [
    '../_base_/datasets/synthetic_patches.py',
    '../_base_/models/seg_tsvit.py',
    '../_base_/schedules/schedule_segmentor_demo.py',
    '../_base_/demo_runtime.py',
]

num_classes = 9
embed_dims = 64

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        num_classes=num_classes,
        embed_dims=embed_dims,
        temporal_depth=2,
        spatial_depth=1,
        head_dims=16,
        mlp_ratio=2,
        attn_residual='input',
        mask_padding=True,
    ),
    decode_head=dict(in_channels=embed_dims, num_classes=num_classes),
)
work_dir = './work_dirs/demo/seg'
