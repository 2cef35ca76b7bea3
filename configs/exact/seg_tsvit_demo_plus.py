"""A small TSViT on the synthetic tree: masks with an ignore band, pixels weighted by confidence.

docs/segmentors.md has the command that makes the masks, and what this gains.

python tools/train.py configs/exact/seg_tsvit_demo_plus.py
"""

_base_ = './seg_tsvit_demo.py'

work_dir = './work_dirs/demo/seg_tsvit_plus'
model = dict(type='WeightedEncoderDecoder')
pseudo_label_dir = 'work_dirs/demo/cls/pseudo_masks_band'
train_dataloader = dict(dataset=dict(pseudo_label_dir=pseudo_label_dir, pixel_weights=True))
