"""U-ConvLSTM (Rustowicz et al. 2019), as compared with U-TAE on PASTIS."""

_base_ = './seg_utae.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='UConvLSTM',
        in_channels=10,
        encoder_widths=(64, 64, 64, 128),
        decoder_widths=(32, 32, 64, 128),
        hidden_width=64,
    ),
)
