"""The fully supervised baseline of seg_tsvit_pastis.py: true masks instead of pseudo masks."""

_base_ = './seg_tsvit_pastis.py'

train_dataloader = dict(dataset=dict(pseudo_label_dir=None))
work_dir = './work_dirs/seg_tsvit_pastis_full/rotation{{$ROTATION:1}}'
