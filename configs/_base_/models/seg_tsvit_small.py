"""The small TSViT as a segmentor."""

_base_ = ['./seg_tsvit.py', './tsvit_small.py']

model = dict(
    backbone=_base_.small_tsvit,
    decode_head=dict(in_channels=_base_.small_tsvit.embed_dims),
)
