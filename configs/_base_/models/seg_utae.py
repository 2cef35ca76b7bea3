"""U-TAE (Garnot and Landrieu, ICCV 2021) for 10 bands."""

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='UTAE',
        in_channels=10,
        encoder_widths=(64, 64, 64, 128),
        decoder_widths=(32, 32, 64, 128),
        num_heads=16,
        d_model=256,
        d_k=4,
        # Days are counted from the first of September, as the published weights do.
        reference_day=244,
    ),
    decode_head=dict(
        type='UTAEHead',
        in_channels=32,
        in_index=0,
        channels=32,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(24, 24)),
)
