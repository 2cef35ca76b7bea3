"""The fully supervised baseline of seg_tsvit_demo.py: true masks instead of pseudo masks."""

_base_ = './seg_tsvit_demo.py'

train_dataloader = dict(dataset=dict(pseudo_label_dir=None))
work_dir = './work_dirs/demo/seg_full'
