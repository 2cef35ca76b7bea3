"""UPerNet with MMPretrain's ConvNeXt-T, behind a learned collapse of the dates."""

norm_cfg = dict(type='BN', requires_grad=True)
head = dict(
    channels=128,
    norm_cfg=norm_cfg,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
)
model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='TemporalStem',
        in_channels=10,
        channels=64,
        # A window of 24 x 24 becomes an image of 96 x 96: ConvNeXt's maps have 24 to 3 pixels.
        upsample=4,
        backbone=dict(
            type='mmpretrain.ConvNeXt',
            arch='tiny',
            in_channels=64,
            out_indices=(0, 1, 2, 3),
            drop_path_rate=0.1,
            gap_before_final_norm=False,
            # For weights pretrained on photographs (the first layer is spread over 64 channels):
            # init_cfg=dict(type='Pretrained', checkpoint='convnext-tiny.pth', prefix='backbone.'),
        ),
    ),
    decode_head=dict(
        type='UPerHead',
        in_channels=[96, 192, 384, 768],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3),
        dropout_ratio=0.1,
        **head,
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=384,
        in_index=2,
        num_convs=1,
        concat_input=False,
        **dict(head, loss_decode=dict(head['loss_decode'], loss_weight=0.4)),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
