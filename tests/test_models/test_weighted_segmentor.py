"""A segmentor whose pixels count as much as the weights beside its masks say."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


@MODELS.register_module()
class PassOn(nn.Module):
    """A backbone whose feature is its input."""

    def forward(self, inputs):
        return (inputs,)


def segmentor(auxiliary: bool = False, **head) -> nn.Module:
    """Logits are the input's two channels."""
    init_default_scope('mmseg')
    settings = dict(
        type='FCNHead', in_channels=2, channels=2, num_convs=0, concat_input=False, num_classes=2,
        dropout_ratio=0, align_corners=False, loss_decode=LOSS, in_index=0,
    )  # fmt: skip
    model = MODELS.build(
        dict(
            type='WeightedEncoderDecoder',
            backbone=dict(type='PassOn'),
            decode_head=dict(settings, **head),
            auxiliary_head=dict(settings) if auxiliary else None,
        )
    )
    for one in (model.decode_head, *([model.auxiliary_head] if auxiliary else [])):
        nn.init.zeros_(one.conv_seg.bias)
        with torch.no_grad():
            one.conv_seg.weight.copy_(torch.eye(2)[..., None, None])
    return model


def sample(labels: list[int], weights: list[float] | None) -> SegDataSample:
    made = SegDataSample(
        metainfo=dict(sample_id='7_3'), gt_sem_seg=PixelData(data=torch.tensor([[labels]]))
    )
    if weights is not None:
        made.pixel_weight = PixelData(data=torch.tensor([[weights]]))
    return made


# Class 1 has probability 3/4 at the first pixel, 1/2 at the others.
INPUTS = torch.tensor([[1.0, 1, 1, 1], [3, 1, 1, 1]]).log()[None, :, None]


def test_pixels_count_by_weight_and_ignored_ones_not_at_all():
    # Losses log(4/3), log 2, log 2, and an ignored pixel; weights 1, 0.5, 0 are a mean of 0.5.
    data = sample([1, 0, 1, 255], [1.0, 0.5, 0.0, 1.0])
    loss = segmentor().loss(INPUTS, [data])['decode.loss_ce']
    expected = (torch.tensor(4 / 3).log() + 0.5 * torch.tensor(2.0).log()) / 1.5
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_equal_weights_are_the_plain_loss_for_all_heads():
    model = segmentor(auxiliary=True)
    losses = model.loss(INPUTS, [sample([1, 0, 1, 255], [0.2] * 4)])
    plain = model.decode_head.loss((INPUTS,), [sample([1, 0, 1, 255], None)], None)
    assert losses['decode.loss_ce'].item() == pytest.approx(plain['loss_ce'].item(), abs=1e-6)
    assert losses['aux.loss_ce'].item() == pytest.approx(plain['loss_ce'].item(), abs=1e-6)
    # Nothing of the batch stays behind.
    assert model.decode_head.sampler is None
    assert model.auxiliary_head.sampler is None


def test_a_batch_without_confidence_has_no_loss():
    inputs = INPUTS.clone().requires_grad_()
    loss = segmentor().loss(inputs, [sample([1, 0, 1, 0], [0.0] * 4)])['decode.loss_ce']
    loss.backward()
    assert loss.item() == 0
    assert not inputs.grad.any()


def test_errors_name_the_key():
    with pytest.raises(ValueError, match=r'7_3 has no pixel_weight: set .*pixel_weights=True'):
        segmentor().loss(INPUTS, [sample([1, 0, 1, 0], None)])
    with pytest.raises(ValueError, match=r'take decode_head\.sampler out'):
        segmentor(sampler=dict(type='OHEMPixelSampler', min_kept=2))
