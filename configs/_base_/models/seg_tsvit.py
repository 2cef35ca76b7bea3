"""TSViT as a segmentor for 10 bands."""

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='TSViT',
        in_channels=10,
        img_size=24,
        patch_size=2,
        embed_dims=128,
        temporal_depth=4,
        spatial_depth=4,
        num_heads=4,
        head_dims=32,
        mlp_ratio=4,
        attn_residual='both',
        mask_padding=False,
        class_tokens_only=True,
    ),
    decode_head=dict(
        type='TSViTHead',
        in_channels=128,
        patch_size=2,
        pixel_order='patch',
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
