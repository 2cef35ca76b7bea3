"""SegFormer with MiT-B0, behind a learned collapse of the dates."""

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='TemporalStem',
        in_channels=10,
        channels=64,
        # A window of 24 x 24 becomes an image of 96 x 96: MiT's maps have 24 to 3 pixels.
        upsample=4,
        backbone=dict(
            type='MixVisionTransformer',
            in_channels=64,
            embed_dims=32,
            num_layers=[2, 2, 2, 2],
            num_heads=[1, 2, 5, 8],
            patch_sizes=[7, 3, 3, 3],
            sr_ratios=[8, 4, 2, 1],
            out_indices=(0, 1, 2, 3),
            mlp_ratio=4,
            qkv_bias=True,
            drop_path_rate=0.1,
            # For weights pretrained on photographs (the first layer is spread over 64 channels):
            # init_cfg=dict(type='Pretrained', checkpoint='mit_b0.pth'),
        ),
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[32, 64, 160, 256],
        in_index=[0, 1, 2, 3],
        channels=128,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
