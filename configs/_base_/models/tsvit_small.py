"""TSViT at a size that two CPU cores train in minutes; its attention does not see padded dates."""

small_tsvit = dict(
    embed_dims=64,
    temporal_depth=2,
    spatial_depth=1,
    head_dims=16,
    mlp_ratio=2,
    attn_residual='input',
    mask_padding=True,
)
