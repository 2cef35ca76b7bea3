"""Stage 1 of `make demo`: a small classifier on the synthetic tree, minutes on two CPU cores.

python tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis
python tools/train.py configs/exact/cls_demo.py --amp
"""

_base_ = ['./cls_pastis.py', '../_base_/datasets/synthetic_pastis.py']

num_crops = 8
embed_dims = 64
max_iters = 900
warmup_iters = 100

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        data_root={{_base_.synthetic_root}},
        metainfo={{_base_.synthetic_metainfo}},
        pipeline=[
            {{_base_.synthetic_train_dates}},
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='RandomFlip', prob=0.5, direction='vertical'),
            dict(type='PackSITSInputs'),
        ],
    ),
)
val_dataloader = dict(batch_size=25, num_workers=1, dataset={{_base_.synthetic_data}})
test_dataloader = dict(batch_size=25, num_workers=1, dataset={{_base_.synthetic_data}})

model = dict(
    data_preprocessor={{_base_.synthetic_preprocessor}},
    backbone=dict(
        num_classes=num_crops,
        embed_dims=embed_dims,
        temporal_depth=2,
        spatial_depth=1,
        head_dims=16,
        mlp_ratio=2,
        attn_residual='input',
        mask_padding=True,
    ),
    cls_head=dict(embed_dims=embed_dims),
    # A sixteenth of the paper's schedule: prototypes start early, and follow ten times as fast.
    spatial_clue_head=dict(
        num_classes=num_crops, embed_dims=embed_dims, start_iter=300, momentum=0.99
    ),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/demo/cls'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=300))
