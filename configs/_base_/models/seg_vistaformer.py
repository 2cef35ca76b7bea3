"""VistaFormer (MacDonald et al. 2024) for 10 bands and up to 60 dates."""

model = dict(
    type='EncoderDecoder',
    backbone=dict(type='VistaFormer', in_channels=10, num_dates=60, channels=64),
    decode_head=dict(
        type='FCNHead',
        in_channels=192,
        in_index=0,
        channels=64,
        num_convs=1,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=0.175,
        norm_cfg=dict(type='BN', requires_grad=True),
        act_cfg=dict(type='GELU'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
