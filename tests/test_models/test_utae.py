"""U-TAE against the authors' network, and in MMSeg's EncoderDecoder."""

import runpy
import sys
from pathlib import Path

import pytest
import reference_data
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.testing import assert_close

from mmexact.engine.checkpoint import load_weights
from mmexact.engine.published import convert_utae
from mmexact.sits import fold_time

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'utae_to_mmexact.py'


def build(in_channels, num_classes, width, **backbone):
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(type='UTAE', in_channels=in_channels, **backbone),
            decode_head=dict(
                type='UTAEHead',
                in_channels=width,
                in_index=0,
                channels=width,
                num_classes=num_classes,
                loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
            ),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )


@pytest.fixture(scope='module')
def arrays():
    return reference_data.load('utae_small.npz')


@pytest.fixture
def model(arrays):
    model = build(
        in_channels=int(arrays['config/input_dim']),
        num_classes=int(arrays['config/out_conv'][1]),
        width=int(arrays['config/out_conv'][0]),
        encoder_widths=arrays['config/encoder_widths'].tolist(),
        decoder_widths=arrays['config/decoder_widths'].tolist(),
        num_heads=int(arrays['config/n_head']),
        d_model=int(arrays['config/d_model']),
        d_k=int(arrays['config/d_k']),
    )
    model.load_state_dict(convert_utae(reference_data.published_state(arrays)))
    return model.eval()


def days_of(arrays):
    padded = (arrays['x'] == 0).flatten(2).all(-1)
    assert padded.sum() == 2
    return arrays['positions'].masked_fill(padded, 0)


def test_it_agrees_with_the_authors_network(model, arrays):
    days = days_of(arrays)
    logits = model(fold_time(arrays['x'], days.float()))
    assert_close(logits, arrays['logits'], atol=1e-5, rtol=1e-5)
    _, _, attention = model.backbone.encode(arrays['x'], days)
    assert_close(attention.sum(2), torch.ones_like(attention.sum(2)))
    assert_close(attention, arrays['attention'], atol=1e-5, rtol=1e-5)


def test_what_stands_in_padded_dates_does_not_matter(model, arrays):
    days = days_of(arrays)
    filled = arrays['x'].masked_fill((days == 0)[:, :, None, None, None], 7.0)
    assert_close(model(fold_time(filled, days.float())), arrays['logits'], atol=1e-5, rtol=1e-5)


def test_parameters_at_the_papers_settings():
    model = build(in_channels=10, num_classes=20, width=32)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_087_260


def test_it_learns_in_an_encoder_decoder(model, arrays):
    model.train()
    inputs = fold_time(arrays['x'], days_of(arrays).float())
    truth = torch.randint(0, 3, (2, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in truth]
    model.loss(inputs, samples)['decode.loss_ce'].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_converter_keeps_the_outputs_that_are_asked_for(model, arrays, tmp_path, monkeypatch):
    state = reference_data.published_state(arrays)
    # As the authors save it.
    torch.save(dict(epoch=3, state_dict=state), tmp_path / 'model.pth.tar')
    arguments = [str(tmp_path / 'model.pth.tar'), str(tmp_path / 'ours.pth'), '--num-classes', '2']
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *arguments])
    runpy.run_path(str(TOOL), run_name='__main__')

    smaller = build(
        in_channels=model.backbone.in_channels,
        num_classes=2,
        width=int(arrays['config/out_conv'][0]),
        encoder_widths=arrays['config/encoder_widths'].tolist(),
        decoder_widths=arrays['config/decoder_widths'].tolist(),
        num_heads=int(arrays['config/n_head']),
        d_model=int(arrays['config/d_model']),
        d_k=int(arrays['config/d_k']),
    ).eval()
    load_weights(smaller, tmp_path / 'ours.pth')
    logits = smaller(fold_time(arrays['x'], days_of(arrays).float()))
    assert_close(logits, arrays['logits'][:, :2], atol=1e-5, rtol=1e-5)


def test_missing_and_unknown_weights_are_listed(arrays):
    state = reference_data.published_state(arrays)
    missing = {key: value for key, value in state.items() if key != 'up_blocks.1.up.1.running_var'}
    with pytest.raises(
        ValueError, match=r"missing \['up_blocks\.1\.up\.1\.running_var'\], unknown \[\]"
    ):
        convert_utae(missing)
    with pytest.raises(ValueError, match=r"UTAE module: missing \[\], unknown \['surprise'\]"):
        convert_utae(dict(state, surprise=torch.zeros(1)))
    classes = int(arrays['config/out_conv'][1])
    with pytest.raises(
        ValueError, match=rf'--num-classes {classes + 1}: the network has {classes}'
    ):
        convert_utae(state, num_classes=classes + 1)


def test_days_from_the_first_of_september(model, arrays):
    days = days_of(arrays)
    expected = model(fold_time(arrays['x'], days.float()))
    # The reference's positions are days since the first of September: back to days of year.
    of_year = torch.where(days > 0, (days + 243) % 365 + 1, 0)
    model.backbone.reference_day = 244
    assert_close(model(fold_time(arrays['x'], of_year.float())), expected)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_heads=3), r'num_heads=3 does not divide 256'),
        (dict(decoder_widths=(32, 64)), r'encoder_widths=.*decoder_widths=\[32, 64\]'),
    ],
)
def test_widths_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        build(in_channels=10, num_classes=3, width=32, **settings)


def test_a_window_that_cannot_be_halved_three_times():
    model = build(in_channels=2, num_classes=3, width=32)
    with pytest.raises(ValueError, match=r'UTAE halves 3 times.*multiples of 8.*got 20 x 24'):
        model(torch.ones(1, 3, 20, 24))
