"""Temporal networks and stems: shapes, padded dates, values worked out by hand."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn
from torch.testing import assert_close

from mmexact.models.backbones.temporal_stem import TemporalStack, TemporalStem, adapt_rgb_weight
from mmexact.models.backbones.temporal_unet import days_since
from mmexact.models.backbones.uconvlstm import ConvLSTM
from mmexact.models.backbones.vistaformer import GatedConv, VistaFormerBlock
from mmexact.sits import fold_time

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'exact'
IMAGE = dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, in_channels=8)
NETWORKS = {
    'UNet3D': (dict(type='UNet3D', in_channels=3, base_width=2), 4),
    'UConvLSTM': (
        dict(
            type='UConvLSTM',
            in_channels=3,
            encoder_widths=(8, 8),
            decoder_widths=(4, 8),
            hidden_width=4,
        ),
        4,
    ),
    'VistaFormer': (
        dict(
            type='VistaFormer',
            in_channels=3,
            num_dates=12,
            embed_dims=(4, 4, 8),
            depths=(1, 1, 1),
            num_heads=(1, 2, 2),
            channels=2,
        ),
        6,
    ),
    'TemporalStem': (
        dict(
            type='TemporalStem',
            in_channels=3,
            channels=8,
            kernel_size=3,
            num_heads=2,
            d_model=8,
            upsample=4,
            backbone=dict(IMAGE, out_indices=(0,)),
        ),
        4,
    ),
}
"""Config, and channels of the first feature map, which has the window's resolution."""
DAYS = torch.tensor([[20, 60, 100, 200, 300], [5, 35, 65, 95, 125]])


@pytest.fixture
def series():
    return torch.randn(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def run(network, series, days):
    with torch.no_grad():
        return network(fold_time(series, days.float()))[0]


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    config, _ = NETWORKS[request.param]
    network = MODELS.build(config).eval()
    for part in network.modules():  # running statistics that would show an unmasked date
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d | nn.BatchNorm1d):
            part.running_mean.normal_()
            part.bias.data.normal_()
    return network


def test_it_makes_one_feature_image(network, series):
    _, width = NETWORKS[type(network).__name__]
    features = run(network, series, DAYS)
    assert features.shape == (2, width, 8, 8)
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize('padding', [1, 3, 4, 7])
def test_padded_dates_behind_a_series_change_nothing(network, series, padding):
    longer = torch.cat([series, torch.full((2, padding, 3, 8, 8), 9.0)], 1)
    days = nn.functional.pad(DAYS, (0, padding))
    assert_close(run(network, longer, days), run(network, series, DAYS))


def test_what_stands_in_a_padded_date_does_not_matter(network, series):
    days = DAYS.index_fill(1, torch.tensor([2]), 0)
    filled = series.index_fill(1, torch.tensor([2]), -5.0)
    features = run(network, series, days)
    assert_close(run(network, filled, days), features)
    assert not torch.allclose(run(network, series, DAYS), features)


def test_a_sample_without_dates_gives_numbers(network, series):
    assert run(network, series, torch.zeros_like(DAYS)).isfinite().all()


@pytest.mark.parametrize(
    ('name', 'multiple'), [('UNet3D', 4), ('UConvLSTM', 2), ('VistaFormer', 8)]
)
def test_a_window_that_cannot_be_halved(name, multiple, series):
    network = MODELS.build(NETWORKS[name][0])
    with pytest.raises(ValueError, match=rf'multiples of {multiple}.*got 8 x 7.*window_size'):
        network(fold_time(series[..., :7], DAYS.float()))


def test_unet3d_has_the_parameters_of_the_paper():
    backbone = MODELS.build(dict(type='UNet3D', in_channels=10))
    last = nn.Conv3d(16, 20, 3)
    total = sum(weight.numel() for part in (backbone, last) for weight in part.parameters())
    assert total == 1_553_796  # 1,554 thousand in table 2 of Garnot and Landrieu


def test_vistaformer_has_the_parameters_of_the_paper():
    cfg = Config.fromfile(CONFIGS / 'seg_vistaformer_pastis.py').model
    del cfg.data_preprocessor
    cfg.decode_head.num_classes = 20  # PASTIS with its void class
    total = sum(weight.numel() for weight in MODELS.build(cfg).parameters())
    # A convolution before batch norm has no bias here: 64 more are published. With the weights of
    # a layer norm over 64 x 32 x 32 instead of batch norm's 2 x 64, it is the paper's 1.25 M.
    assert total + 64 == 1_120_724
    assert total + 64 + 2 * 64 * 32 * 32 - 2 * 64 == 1_251_668


def test_the_gate_worked_out_by_hand():
    """Two dates of 2 x 2 pixels, one channel: the sum of all, times a sigmoid of their mean."""
    gated = GatedConv(1, 1, (2, 2, 2))
    nn.init.ones_(gated.conv.weight)
    nn.init.constant_(gated.gate.weight, 1 / 8)
    nn.init.zeros_(gated.conv.bias)
    nn.init.zeros_(gated.gate.bias)
    x = torch.tensor([1.0, 2, 3, 4, -1, -2, 0, 1]).view(1, 1, 2, 2, 2)
    # 8 / (1 + exp(-1)) = 8 * 0.731059 = 5.848469
    assert_close(gated(x).flatten(), torch.tensor([5.848469]), atol=1e-5, rtol=0)


def test_vistaformer_may_collapse_dates_before_it_enlarges(series):
    """The published order is the other one; both are linear, each in its own axes."""
    network = MODELS.build(NETWORKS['VistaFormer'][0]).eval()
    collapse = network.collapse[1]
    x = torch.randn(2, 4, 6, 3, 3)
    first = nn.functional.interpolate(collapse(x).squeeze(2), (12, 12), mode='bilinear')
    enlarged = nn.functional.interpolate(x, (6, 12, 12), mode='trilinear')
    assert_close(collapse(enlarged).squeeze(2), first, atol=1e-5, rtol=1e-5)


def test_vistaformer_attends_within_a_date_and_convolves_across():
    torch.manual_seed(0)
    block = VistaFormerBlock(8, num_heads=2, mlp_ratio=2, drop_rate=0, drop_path_rate=0).eval()
    x = torch.randn(1, 5, 6, 6, 8)
    changed = x.clone()
    changed[0, 2, 0, 0, 0] += 1
    with torch.no_grad():
        moved = (block(changed) - block(x)).abs().amax((0, 2, 3, 4)) > 1e-6
    # Its own date by attention, both neighbours by the convolution of three dates.
    assert moved.tolist() == [False, True, True, True, False]


def test_vistaformer_refuses_a_longer_series(series):
    network = MODELS.build(dict(NETWORKS['VistaFormer'][0], num_dates=4))
    with pytest.raises(ValueError, match=r'series of 5 dates, but model\.backbone\.num_dates=4'):
        run(network, series, DAYS)


def test_the_lstm_worked_out_by_hand():
    """One pixel, one channel, all gates from the input: weights 1, 2, 3, 4 and no state."""
    lstm = ConvLSTM(1, 1, kernel_size=1)
    lstm.from_input.weight.data = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1, 1)
    lstm.from_input.bias.data.zero_()
    lstm.from_state.weight.data.zero_()
    x = torch.tensor([0.5, 7.0, -0.25]).view(1, 3, 1, 1, 1)
    padded = torch.tensor([[False, True, False]])
    # sigmoid(0.5) tanh(2) = 0.622459 * 0.964028 = 0.600068
    # sigmoid(-0.5) * 0.600068 + sigmoid(-0.25) tanh(-1) = 0.226557 - 0.333455 = -0.106898
    # sigmoid(-0.75) tanh(-0.106898) = 0.320821 * -0.106493 = -0.034165
    assert_close(lstm(x, padded).flatten(), torch.tensor([-0.034165]), atol=5e-6, rtol=0)


def test_the_lstm_reads_dates_in_order():
    torch.manual_seed(0)
    lstm = ConvLSTM(2, 3, kernel_size=3)
    x = torch.randn(1, 4, 2, 5, 5)
    real = torch.zeros(1, 4, dtype=torch.bool)
    assert not torch.allclose(lstm(x, real), lstm(x.flip(1), real))


@pytest.mark.parametrize(
    ('days', 'since'),
    [
        ([260, 365, 1, 183, 301], [16, 121, 122, 304, 422]),  # the first of January follows 365
        ([10, 250, 0, 0], [131, 371, 0, 0]),  # the first of September of the year before
        ([0, 260, 0, 3, 0], [0, 16, 0, 124, 0]),
        ([244], [0]),
    ],
)
def test_days_since_the_first_of_september(days, since):
    assert days_since(torch.tensor([days, days]), 244).tolist() == [since, since]


def test_the_stem_looks_at_single_pixels(series):
    stem = TemporalStem(IMAGE, in_channels=3, channels=8, num_heads=2, d_model=8).eval()
    changed = series.clone()
    changed[:, :, :, 4, 5] += 1
    with torch.no_grad():
        moved = (stem.make_image(changed, DAYS) != stem.make_image(series, DAYS)).any(1)
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[:, 4, 5] = True
    assert torch.equal(moved, expected)


def test_the_stem_knows_the_days(series):
    torch.manual_seed(0)
    stem = TemporalStem(IMAGE, in_channels=3, channels=8, num_heads=2, d_model=8).eval()
    with torch.no_grad():
        assert not torch.allclose(
            stem.make_image(series, DAYS), stem.make_image(series, DAYS.flip(1))
        )


def test_the_stack_lays_dates_side_by_side(series):
    stack = TemporalStack(dict(IMAGE, in_channels=15), in_channels=3, num_dates=5, upsample=4)
    image = stack.make_image(series, DAYS)
    assert image.shape == (2, 15, 8, 8)
    assert torch.equal(image[1, 3 * 2 + 1], series[1, 2, 1])
    shapes = [tuple(level.shape[1:]) for level in stack(fold_time(series, DAYS.float()))]
    assert shapes == [(4, 8, 8), (8, 4, 4), (16, 2, 2), (32, 1, 1)]
    with pytest.raises(ValueError, match=r'series of 4 dates, but model\.backbone\.num_dates=5'):
        stack(fold_time(series[:, :4], DAYS[:, :4].float()))


@pytest.mark.parametrize(
    ('config', 'channels'),
    [
        (dict(type='TemporalStem', in_channels=10, channels=32, num_heads=4), 32),
        (dict(type='TemporalStack', in_channels=10, num_dates=6), 60),
    ],
)
@pytest.mark.parametrize('backbone', ['ResNetV1c', 'mmpretrain.ConvNeXt'])
def test_a_backbone_for_other_channels_is_refused(config, channels, backbone):
    settings = dict(type=backbone, in_channels=3)
    settings |= dict(depth=18) if backbone == 'ResNetV1c' else dict(arch='atto')
    message = (
        rf'the first layer of {backbone} takes 3 channels, {config["type"]} makes an image of '
        rf'{channels}: set model\.backbone\.backbone\.in_channels={channels}'
    )
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(config, backbone=settings))


@pytest.mark.parametrize('backbone', ['MobileNetV3', 'mmpretrain.EfficientNet'])
def test_a_backbone_for_three_channels_only(backbone):
    stem = dict(type='TemporalStem', in_channels=10, d_model=8, backbone=dict(type=backbone))
    message = rf'the first layer of {backbone} takes 3 .* in a TemporalStem with channels=3 and num'
    with pytest.raises(ValueError, match=message):
        MODELS.build(stem | dict(num_heads=1))
    assert MODELS.build(stem | dict(channels=3, num_heads=1)).image_channels == 3


def test_rgb_weights_spread_over_channels():
    weight = torch.tensor([2.0, 3.0, 5.0]).view(1, 3, 1, 1)
    adapted = adapt_rgb_weight(weight, 7)
    # Red goes to channels 0, 3 and 6, green to 1 and 4, blue to 2 and 5.
    expected = [2 / 3, 3 / 2, 5 / 2, 2 / 3, 3 / 2, 5 / 2, 2 / 3]
    assert_close(adapted.flatten(), torch.tensor(expected))


@pytest.mark.parametrize('prefix', [None, 'backbone.'])
def test_pretrained_weights_of_photographs_are_loaded(tmp_path, prefix):
    torch.manual_seed(0)
    photographs = MODELS.build(dict(type='mmpretrain.ConvNeXt', arch='atto', in_channels=3))
    state = {f'{prefix or ""}{name}': value for name, value in photographs.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'rgb.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth'))
    if prefix:
        init['prefix'] = prefix
    inner = dict(type='mmpretrain.ConvNeXt', arch='atto', in_channels=36, init_cfg=init)
    stack = TemporalStack(inner, in_channels=3, num_dates=12)
    stack.init_weights()
    loaded, original = stack.backbone.state_dict(), photographs.state_dict()
    first = 'downsample_layers.0.0.weight'
    assert_close(loaded.pop(first), adapt_rgb_weight(original.pop(first), 36))
    for name, value in original.items():
        assert torch.equal(loaded[name], value), name
    # An image whose channels repeat a photograph gets the photograph's response.
    photograph = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert_close(
            stack.backbone(photograph.repeat(1, 12, 1, 1))[0],
            photographs(photograph)[0],
            atol=1e-4,
            rtol=1e-4,
        )
    # What was trained on the series itself is loaded as it is.
    stack.load_state_dict(stack.state_dict())
