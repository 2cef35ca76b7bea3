"""Stage 3 on your own dated rasters: TSViT learns from the pseudo masks of stage 2.

python tools/gen_pseudo.py configs/exact/cls_raster_series.py \
    work_dirs/raster_series/cls/iter_300.pth
python tools/train.py configs/exact/seg_tsvit_raster_series.py --amp
"""

_base_ = [
    '../_base_/datasets/raster_series_patches.py',
    '../_base_/models/seg_tsvit.py',
    '../_base_/schedules/schedule_segmentor.py',
    '../_base_/default_runtime.py',
]

num_bands, num_classes = 2, 5
embed_dims = 64
max_iters = 300
warmup_iters = 30

train_dataloader = dict(dataset=dict(pseudo_label_dir='work_dirs/raster_series/cls/pseudo_masks'))
model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(
        in_channels=num_bands,
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
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/raster_series/seg'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=max_iters))
