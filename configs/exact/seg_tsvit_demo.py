"""Stage 3 of `make demo`: a small TSViT learns from the demo's pseudo masks.

python tools/gen_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/iter_900.pth
python tools/train.py configs/exact/seg_tsvit_demo.py --amp
"""

_base_ = ['./seg_tsvit_pastis.py', '../_base_/datasets/synthetic_pastis.py']

num_classes = 9
embed_dims = 64
max_iters = 400
warmup_iters = 40

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        data_root={{_base_.synthetic_root}},
        metainfo={{_base_.synthetic_metainfo}},
        pseudo_label_dir='work_dirs/demo/cls/pseudo_masks',
        pipeline=[
            {{_base_.synthetic_train_dates}},
            dict(type='LoadSITSAnnotations'),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='RandomFlip', prob=0.5, direction='vertical'),
            dict(type='PackSITSInputs'),
        ],
    ),
)
val_dataloader = dict(num_workers=1, dataset={{_base_.synthetic_data}})
test_dataloader = dict(num_workers=1, dataset={{_base_.synthetic_data}})

model = dict(
    data_preprocessor={{_base_.synthetic_preprocessor}},
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

optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/demo/seg'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=200))
