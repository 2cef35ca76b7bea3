"""Stage 1 on MTLCC (Germany): the classifier and recipe of PASTIS on 13 bands, 16 dates, 17 crops.

MTLCC_ROOT=.../data_IJGI18/datasets/full/240 python tools/train.py configs/exact/cls_mtlcc.py --amp
"""

_base_ = [
    '../_base_/datasets/mtlcc.py',
    '../_base_/models/exact_tsvit.py',
    '../_base_/schedules/schedule_exact.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(pipeline=[_base_.load, _base_.flip, _base_.pack]))
val_evaluator = [dict(type='mmpretrain.AveragePrecision'), dict(type='PseudoLabelMetric')]
test_evaluator = val_evaluator
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(in_channels=13, num_classes=_base_.num_classes),
    spatial_clue_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/cls_mtlcc'
default_hooks = dict(
    checkpoint=dict(interval=1000, max_keep_ckpts=3),
    visualization=dict(bands=(0, 1, 2)),  # B4 B3 B2
)
