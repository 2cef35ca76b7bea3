"""The classifier with the small TSViT."""

_base_ = ['./exact_tsvit.py', './tsvit_small.py']

model = dict(
    backbone=_base_.small_tsvit,
    cls_head=dict(embed_dims=_base_.small_tsvit.embed_dims),
    spatial_clue_head=dict(embed_dims=_base_.small_tsvit.embed_dims),
)
