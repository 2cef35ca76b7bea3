"""DeepLabV3+ with ResNet-18 on twelve monthly composites of 10 bands."""

_base_ = './seg_fcn.py'

model = dict(
    decode_head=dict(
        _delete_=True,
        type='DepthwiseSeparableASPPHead',
        in_channels=512,
        in_index=3,
        channels=128,
        # The deepest map has 12 x 12 pixels: MMSeg's dilations up to 36 would see its border only.
        dilations=(1, 2, 4, 6),
        c1_in_channels=64,
        c1_channels=12,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
)
