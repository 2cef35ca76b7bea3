"""Stage 1 of `make demo`: a small classifier on the synthetic tree, minutes on two CPU cores.

python tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis
python tools/train.py configs/exact/cls_demo.py --amp
"""

_base_ = [
    '../_base_/stages/cls_pastis.py',
    '../_base_/datasets/synthetic_pastis.py',
    '../_base_/models/exact_tsvit_small.py',
]

num_crops = _base_.num_classes - 1
max_iters = 400
warmup_iters = 50

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(**_base_.synthetic, pipeline=[_base_.load_some_dates, _base_.flip, _base_.pack]),
)
val_dataloader = dict(batch_size=25, num_workers=1, dataset=_base_.synthetic)
test_dataloader = dict(batch_size=25, num_workers=1, dataset=_base_.synthetic)

model = dict(
    data_preprocessor=_base_.synthetic_preprocessor,
    backbone=dict(num_classes=num_crops),
    # A short schedule: prototypes start halfway, and follow ten times as fast as the paper's.
    spatial_clue_head=dict(num_classes=num_crops, start_iter=max_iters // 2, momentum=0.99),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='CosineAnnealingLR', eta_min=5e-6, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
work_dir = './work_dirs/demo/cls'
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=200))
