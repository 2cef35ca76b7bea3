"""Stage 1 of `make demo`: a small classifier on the synthetic tree, minutes on two CPU cores.

python tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis
python tools/train.py configs/exact/cls_demo.py --amp
"""

_base_ = './cls_pastis.py'

data_root = 'data/synthetic_pastis'
classes = (
    'Background',
    'Meadow',
    'Soft winter wheat',
    'Corn',
    'Winter barley',
    'Winter rapeseed',
    'Spring barley',
    'Sunflower',
    'Grapevine',
)
num_crops = len(classes) - 1
embed_dims = 64
# Band statistics of the tree's NORM_S2_patch.json, averaged over folds 1-3.
data_preprocessor = dict(
    mean=[970, 1180, 1140, 1480, 2280, 2600, 2770, 2860, 2150, 1470],
    std=[1350, 1290, 1320, 1220, 1110, 1130, 1160, 1170, 780, 720],
    num_dates=None,
)

subset = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(batch_size=16, num_workers=1, dataset=subset)
val_dataloader = dict(batch_size=25, num_workers=1, dataset=subset)
test_dataloader = dict(batch_size=25, num_workers=1, dataset=subset)

model = dict(
    data_preprocessor=data_preprocessor,
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
    spatial_clue_head=dict(num_classes=num_crops, embed_dims=embed_dims, start_iter=350),
)

max_iters = 1100
warmup_iters = 100
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/demo/cls'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=550))
