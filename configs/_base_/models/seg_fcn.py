"""FCN with ResNet-18 on twelve monthly composites of 10 bands, an image of 120 channels."""

norm_cfg = dict(type='BN', requires_grad=True)
loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='TemporalStack',
        in_channels=10,
        num_dates=12,
        # A window of 24 x 24 becomes an image of 96 x 96: ResNet's maps have 24 and 12 pixels.
        upsample=4,
        backbone=dict(
            type='ResNetV1c',
            depth=18,
            in_channels=120,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            norm_cfg=norm_cfg,
            norm_eval=False,
            style='pytorch',
            contract_dilation=True,
            # For weights pretrained on photographs (the first layer is spread over 120 channels):
            # init_cfg=dict(type='Pretrained', checkpoint='resnet18_v1c.pth'),
        ),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=512,
        in_index=3,
        channels=128,
        num_convs=2,
        concat_input=True,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=loss,
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=256,
        in_index=2,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(loss, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
