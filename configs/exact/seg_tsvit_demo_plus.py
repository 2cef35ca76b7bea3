"""A small TSViT on the synthetic tree with pixels near the background score ignored.

docs/segmentors.md has the command that makes the masks, and other remedies against their errors.

python tools/train.py configs/exact/seg_tsvit_demo_plus.py
"""

_base_ = './seg_tsvit_demo.py'

work_dir = './work_dirs/demo/seg_tsvit_plus'
pseudo_label_dir = 'work_dirs/demo/cls/pseudo_masks_band'
train_dataloader = dict(dataset=dict(pseudo_label_dir=pseudo_label_dir))
