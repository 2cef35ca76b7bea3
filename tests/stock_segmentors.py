"""Backbones and heads of MMSeg and MMPretrain that were tried on series, at toy size.

tests/test_models/test_stock_segmentors.py trains and predicts with every row on windows of 24 x 24;
docs/segmentors.md has the same rows.
"""

from dataclasses import dataclass, field
from typing import Any

BANDS, DATES, CLASSES = 10, 4, 3
CHANNELS = 8
"""Of the image that TemporalStem makes; TemporalStack's has BANDS x DATES."""
NORM = dict(type='BN', requires_grad=True)
ALL = (0, 1, 2, 3)

Settings = dict[str, Any]


@dataclass
class Row:
    """A backbone or a head.

    Attributes:
        name: Of the component.
        settings: Its other settings.
        note: What to set, or why it does not work and the way out, as the page says it.
        works: As the page says it.
        error: What the message says where it does not work.
        levels: Levels of the backbone that the head reads; None for the last one, none for a head
            that is made of others.
        wrapper: Settings of the wrapper.
        segmentor: Settings of the segmentor; ``before``, a head that comes first.
        partner: The head of a backbone, or the backbone of a head; None for the usual one.
    """

    name: str
    settings: Settings = field(default_factory=dict)
    note: str = ''
    works: str = 'yes'
    error: str | None = None
    levels: tuple[int, ...] | None = None
    wrapper: Settings = field(default_factory=dict)
    segmentor: Settings = field(default_factory=dict)
    partner: Settings | None = None


def resnet(channels: int = CHANNELS, **settings: Any) -> Settings:
    """Make the settings of a small ResNet with levels of 24, 12, 6 and 3 pixels."""
    small = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, norm_cfg=NORM)
    return small | dict(in_channels=channels) | settings


def table(title: str, rows: list[Row]) -> str:
    """Write the rows as the page has them."""
    lines = [f'| {title} | works | what to set, or the way out |', '|---|---|---|']
    return '\n'.join([*lines, *(f'| `{row.name}` | {row.works} | {row.note} |' for row in rows)])


RGB = dict(
    note='`TemporalStem` with `channels=3, num_heads=1`: it takes three channels only',
    wrapper=dict(channels=3, num_heads=1),
)
LEVELS = dict(in_channels=CHANNELS, out_indices=ALL)
WIDTHS = dict(embed_dims=[4, 8, 16, 32], depths=[1, 1, 1, 1])
VIT = dict(img_size=96, embed_dims=16, num_layers=4, num_heads=2, out_indices=ALL)
FEATURE_PYRAMID = dict(type='Feature2Pyramid', embed_dim=16, rescales=[4, 2, 1, 0.5], norm_cfg=NORM)
PYRAMID = dict(
    note='neck `Feature2Pyramid`; `img_size=96`, four times the window',
    segmentor=dict(neck=FEATURE_PYRAMID),
)
NO_GAP = '`gap_before_final_norm=False`'
FIRST = dict(type='FCNHead', in_index=0)
HRNET = {
    f'stage{stage}': dict(
        num_modules=1,
        num_branches=stage,
        block='BASIC' if stage > 1 else 'BOTTLENECK',
        num_blocks=(1,) * stage,
        num_channels=(4, 8, 16, 32)[:stage],
    )
    for stage in (1, 2, 3, 4)
}
STDC = dict(
    stdc_type='STDCNet1',
    channels=(4, 8, 16, 32, 32),
    bottleneck_type='cat',
    norm_cfg=NORM,
    act_cfg=dict(type='ReLU'),
)

BACKBONES = [
    Row('ResNet', resnet()),
    Row('ResNetV1c', resnet()),
    Row('ResNetV1d', resnet()),
    Row('ResNeXt', resnet(depth=50, base_channels=8, groups=2)),
    Row('ResNeSt', resnet(depth=50, base_channels=8, stem_channels=8)),
    Row('HRNet', dict(in_channels=CHANNELS, extra=HRNET)),
    Row('MobileNetV2', dict(widen_factor=0.25), **RGB),
    Row('MobileNetV3', **RGB),
    Row(
        'UNet',
        dict(in_channels=CHANNELS, base_channels=4),
        '`upsample=2`: the image has to be a multiple of 16',
        wrapper=dict(upsample=2),
    ),
    Row(
        'SwinTransformer',
        dict(in_channels=CHANNELS, embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
    ),
    Row(
        'MixVisionTransformer',
        dict(in_channels=CHANNELS, embed_dims=4, num_layers=[1, 1, 1, 1]),
        'SegFormer',
    ),
    Row('PCPVT', LEVELS | WIDTHS, 'Twins'),
    Row(
        'SVT',
        dict(in_channels=CHANNELS, embed_dims=[4, 8, 16], depths=[1, 1, 1], out_indices=(0, 1, 2)),
        'Twins',
    ),
    Row(
        'MSCAN',
        dict(in_channels=CHANNELS, norm_cfg=NORM, **WIDTHS),
        'SegNeXt; `norm_cfg` of type BN',
    ),
    Row('VisionTransformer', dict(in_channels=CHANNELS, **VIT), **PYRAMID),
    Row('BEiT', dict(in_channels=CHANNELS, **VIT), **PYRAMID),
    Row('MAE', dict(in_channels=CHANNELS, **VIT), **PYRAMID),
    Row('STDCNet', dict(in_channels=CHANNELS, **STDC)),
    Row(
        'BiSeNetV1',
        dict(
            in_channels=CHANNELS,
            backbone_cfg=resnet(),
            spatial_channels=(4, 4, 4, 8),
            context_channels=(8, 16, 32),
            out_channels=16,
        ),
        'the head reads `in_index=0`',
        partner=FIRST,
    ),
    Row(
        'BiSeNetV2',
        dict(
            in_channels=CHANNELS,
            detail_channels=(4, 4, 8),
            semantic_channels=(4, 4, 8, 8),
            bga_channels=8,
        ),
        'the head reads `in_index=0`',
        partner=FIRST,
    ),
    Row('CGNet', dict(in_channels=CHANNELS, num_channels=(4, 8, 16), num_blocks=(1, 1))),
    Row('ERFNet', dict(in_channels=CHANNELS)),
    Row('FastSCNN', dict(in_channels=CHANNELS)),
    Row(
        'ICNet',
        dict(
            in_channels=CHANNELS,
            backbone_cfg=resnet(type='ResNetV1c'),
            layer_channels=(8, 32),
            light_branch_middle_channels=4,
            psp_out_channels=8,
            out_channels=(4, 8, 8),
        ),
        'with `ResNetV1c` in `backbone_cfg`',
    ),
    Row(
        'DDRNet',
        dict(in_channels=CHANNELS, channels=8, ppm_channels=8),
        '`DDRHead`, with a loss for each of its two outputs',
        partner=dict(
            type='DDRHead', in_channels=32, loss_decode=[dict(type='CrossEntropyLoss')] * 2
        ),
    ),
    Row(
        'PIDNet',
        dict(in_channels=CHANNELS, channels=8, ppm_channels=8),
        'its loss needs maps of edges, which series do not carry: `DDRNet`',
        works='no',
        error='gt_edge_map',
        partner=dict(
            type='PIDHead', in_channels=32, loss_decode=[dict(type='CrossEntropyLoss')] * 4
        ),
    ),
    Row(
        'TIMMBackbone',
        dict(model_name='resnet18', features_only=True, in_channels=CHANNELS),
        '`pip install timm`',
        works='not without timm',
        error='needs the package timm',
    ),
    Row(
        'mmpretrain.ConvNeXt',
        LEVELS
        | dict(
            arch=dict(depths=[1, 1, 1, 1], channels=[4, 8, 16, 32]), gap_before_final_norm=False
        ),
        NO_GAP,
    ),
    Row(
        'mmpretrain.HorNet',
        LEVELS
        | dict(
            gap_before_final_norm=False,
            arch=dict(
                base_dim=8,
                depths=[1, 1, 1, 1],
                orders=[2, 2, 2, 2],
                dw_cfg=[dict(type='DW', kernel_size=7)] * 4,
            ),
        ),
        NO_GAP,
    ),
    Row('mmpretrain.EdgeNeXt', LEVELS | dict(gap_before_final_norm=False), NO_GAP),
    Row('mmpretrain.EfficientNet', dict(out_indices=(1, 2, 3, 4)), **RGB),
    Row(
        'mmpretrain.DenseNet',
        LEVELS | dict(arch=dict(growth_rate=4, depths=[1, 1, 1, 1], init_channels=8)),
    ),
    Row('mmpretrain.VAN', LEVELS | dict(arch=dict(ffn_ratios=[2, 2, 2, 2], **WIDTHS))),
    Row(
        'mmpretrain.SwinTransformerV2',
        LEVELS
        | dict(
            img_size=96,
            pad_small_map=True,
            arch=dict(
                embed_dims=8,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                extra_norm_every_n_blocks=0,
            ),
        ),
        '`pad_small_map=True`; `img_size=96`, four times the window',
    ),
    Row('mmpretrain.MobileViT', LEVELS | dict(arch='xx_small')),
    Row('mmpretrain.PoolFormer', dict(out_indices=(0, 2, 4, 6)), **RGB),
    Row('mmpretrain.ShuffleNetV2', dict(out_indices=(0, 1, 2)), **RGB),
]

STACKED = BANDS * DATES
VIT_OF_STACK = dict(type='VisionTransformer', in_channels=STACKED, **VIT)
GROUP_NORM = dict(norm_cfg=dict(type='GN', num_groups=2, requires_grad=True))
OPERATORS = dict(
    note="MMCV's compiled operators, see below",
    works='not as installed',
    error="needs MMCV's compiled operators, which are not installed",
)
MMDET = dict(
    note="MMCV's compiled operators and `pip install onedl-mmdetection`, see below",
    works='not as installed',
    error="needs MMCV's compiled operators and the package mmdet",
)
UPDATE = dict(
    type='KernelUpdateHead',
    num_classes=CLASSES,
    num_ffn_fcs=2,
    num_heads=2,
    num_mask_fcs=1,
    feedforward_channels=8,
    in_channels=8,
    out_channels=8,
    feat_transform_cfg=dict(conv_cfg=dict(type='Conv2d'), act_cfg=None),
    kernel_updator_cfg=dict(type='KernelUpdator', in_channels=8, feat_channels=8, out_channels=8),
)

HEADS = [
    Row('FCNHead'),
    Row('DepthwiseSeparableFCNHead'),
    Row('PSPHead'),
    Row(
        'ASPPHead',
        dict(dilations=(1, 2, 3, 4)),
        'small `dilations`, as (1, 2, 4, 6): the map has a dozen pixels',
    ),
    Row(
        'DepthwiseSeparableASPPHead',
        dict(dilations=(1, 2, 3, 4), c1_in_channels=4, c1_channels=4),
        'small `dilations`, as `seg_deeplabv3plus_pastis.py`',
    ),
    Row('UPerHead', levels=ALL),
    Row('SegformerHead', levels=ALL),
    Row(
        'FPNHead',
        dict(feature_strides=[4, 8, 16, 32]),
        'neck `FPN`',
        levels=ALL,
        segmentor=dict(
            neck=dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4)
        ),
    ),
    Row(
        'OCRHead',
        dict(ocr_channels=8),
        '`CascadeEncoderDecoder` with `num_stages=2`, an `FCNHead` before it',
        segmentor=dict(type='CascadeEncoderDecoder', num_stages=2, before=dict(type='FCNHead')),
    ),
    Row(
        'LRASPPHead',
        dict(branch_channels=(4, 4), input_transform='multiple_select'),
        'it pools maps of at least 49 x 49 pixels: `SegformerHead` is as light',
        works='no',
        error='Output size is too small',
        levels=(0, 1, 3),
    ),
    Row('NLHead'),
    Row('GCHead'),
    Row('DNLHead'),
    Row('DAHead', dict(pam_channels=4)),
    Row('ANNHead', dict(project_channels=8), 'two levels', levels=(2, 3)),
    Row('APCHead'),
    Row(
        'DMHead', note='behind `TemporalStack` only: it refuses how `TemporalStem` lays out memory'
    ),
    Row('EncHead', dict(num_codes=4), levels=(1, 2, 3)),
    Row('EMAHead', dict(ema_channels=8, num_bases=4, num_stages=2)),
    Row('ISAHead', dict(isa_channels=4)),
    Row(
        'LightHamHead',
        dict(ham_channels=8, ham_kwargs=dict(MD_R=4)) | GROUP_NORM,
        'SegNeXt; `norm_cfg` of type GN',
        levels=(1, 2, 3),
    ),
    Row(
        'SegmenterMaskTransformerHead',
        dict(num_layers=1, num_heads=2, embed_dims=8, norm_cfg=dict(type='LN')),
        '`norm_cfg` of type LN',
    ),
    Row('SETRUPHead'),
    Row(
        'SETRMLAHead',
        dict(mla_channels=8, channels=32),
        '`VisionTransformer` and neck `MLANeck`',
        levels=ALL,
        partner=VIT_OF_STACK,
        segmentor=dict(
            neck=dict(type='MLANeck', in_channels=[16] * 4, out_channels=8, norm_cfg=NORM)
        ),
    ),
    Row(
        'DPTHead',
        dict(
            embed_dims=16,
            post_process_channels=[4, 8, 16, 32],
            readout_type='project',
            input_transform='multiple_select',
        ),
        '`VisionTransformer` with `output_cls_token=True`',
        levels=ALL,
        partner=dict(VIT_OF_STACK, output_cls_token=True),
    ),
    Row(
        'IterativeDecodeHead',
        dict(
            num_stages=1,
            kernel_update_head=[UPDATE],
            kernel_generate_head=dict(
                type='FCNHead',
                in_index=3,
                in_channels=32,
                channels=8,
                num_classes=CLASSES,
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss'),
            ),
        ),
        'K-Net; channels of all its parts equal',
        levels=(),
    ),
    Row('PointHead', **OPERATORS),
    Row('CCHead', **OPERATORS),
    Row('PSAHead', dict(mask_size=(3, 3)), **OPERATORS),
    Row('MaskFormerHead', **MMDET),
    Row('Mask2FormerHead', **MMDET),
]
