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

train_dataloader = dict(
    dataset=dict(
        pseudo_label_dir='work_dirs/cls_mtlcc/refined_masks',
        pipeline=[_base_.load, _base_.annotate, _base_.flip, _base_.pack],
    )
)
# Every labelled pixel counts in the test, those of tiles with next to no crop included.
val_dataloader = dict(dataset=dict(filter_cfg=None))
test_dataloader = dict(dataset=dict(filter_cfg=None, split=_base_.test_split))
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    # Heads as wide as TSViT's on Germany.
    backbone=dict(in_channels=13, num_classes=_base_.num_classes, head_dims=64),
    decode_head=dict(num_classes=_base_.num_classes),
)
work_dir = './work_dirs/seg_tsvit_mtlcc'
default_hooks = dict(visualization=dict(bands=(0, 1, 2)))  # B4 B3 B2
