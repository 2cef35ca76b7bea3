"""Stage 1 on your own dated rasters: a small classifier that a laptop can train.

python tools/train.py configs/exact/cls_raster_series.py --amp
"""

_base_ = [
    '../_base_/datasets/raster_series_windows.py',
    '../_base_/models/exact_tsvit.py',
    '../_base_/schedules/schedule_exact.py',
    '../_base_/default_runtime.py',
]

num_bands, num_crops = 2, 4
embed_dims = 64
max_iters = 300
warmup_iters = 30

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        in_channels=num_bands,
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
    # Short training: prototypes start early and follow faster than the paper's 0.999.
    spatial_clue_head=dict(
        num_classes=num_crops, embed_dims=embed_dims, start_iter=100, momentum=0.98
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/raster_series/cls'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=max_iters))
