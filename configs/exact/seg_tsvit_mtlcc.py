"""Stage 3 on MTLCC (Germany): TSViT learns from the pseudo masks of stage 2.

There is no background: 17 classes, and pixels that the masks leave unlabelled (255) are ignored.

python tools/train.py configs/exact/seg_tsvit_mtlcc.py --amp
"""

_base_ = [
    '../_base_/datasets/mtlcc.py',
    '../_base_/models/seg_tsvit.py',
    '../_base_/schedules/schedule_segmentor.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor={{_base_.data_preprocessor}},
    backbone=dict(in_channels=13, num_classes=17, head_dims=64),  # as TSViT on Germany
    decode_head=dict(num_classes=17),
)

train_pipeline = [
    dict(type='LoadSITS', num_dates={{_base_.num_dates}}, date_choice='random'),
    dict(type='LoadSITSAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline, pseudo_label_dir='work_dirs/cls_mtlcc/pseudo_masks')
)
# Every labelled pixel counts in the test, those of tiles with next to no crop included.
val_dataloader = dict(dataset=dict(filter_cfg=None))
test_dataloader = dict(dataset=dict(filter_cfg=None, split={{_base_.test_split}}))
val_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = dict(_delete_=True, type='IoUMetric', iou_metrics=['mIoU'])

work_dir = './work_dirs/seg_tsvit_mtlcc'
default_hooks = dict(visualization=dict(bands=(0, 1, 2)))  # B4 B3 B2
