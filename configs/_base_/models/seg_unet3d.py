"""UNet3D (Rustowicz et al. 2019), as compared with U-TAE on PASTIS."""

_base_ = './seg_utae.py'

model = dict(
    backbone=dict(_delete_=True, type='UNet3D', in_channels=10, base_width=8),
    decode_head=dict(
        type='FCNHead',
        in_channels=16,
        channels=32,
        num_convs=1,
        concat_input=False,
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
)
