"""The TSViT segmentor against the published one."""

import pytest
import reference_data
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.testing import assert_close

GRADIENTS = {
    'to_patch_embedding.1.weight': 'backbone.patch_embed.weight',
    'temporal_token': 'backbone.class_tokens',
    'temporal_transformer.layers.0.0.fn.to_qkv.weight': (
        'backbone.temporal_encoder.layers.0.attn.qkv.weight'
    ),
    'mlp_head.1.weight': 'decode_head.to_pixels.weight',
    'space_pos_embedding': 'backbone.position_embed',
}


@pytest.fixture(scope='module')
def arrays():
    return reference_data.load('seg_small.npz')


def test_logits_loss_and_gradients(arrays):
    model = reference_data.segmentor(arrays).train()
    inputs = reference_data.inputs(arrays)
    assert_close(model(inputs), arrays['logits'], atol=1e-5, rtol=1e-5)

    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in arrays['labels'].long()
    ]
    loss = model.loss(inputs, samples)['decode.loss_ce']
    assert_close(loss, arrays['loss'], atol=1e-5, rtol=1e-5)
    loss.backward()
    parameters = dict(model.named_parameters())
    for published, ours in GRADIENTS.items():
        expected = arrays[f'grad/{published}']
        assert_close(parameters[ours].grad.view_as(expected), expected, atol=1e-5, rtol=1e-4)


def test_patch_order_is_the_published_order_put_in_its_place(arrays):
    """Both orders hold the same numbers; ours stand on the pixels of the patch."""
    inputs = reference_data.inputs(arrays)
    published = reference_data.segmentor(arrays)(inputs)
    ours = reference_data.segmentor(arrays, pixel_order='patch')(inputs)
    # Location 5 of the 4 x 4 patches of 2 x 2 pixels is row 1, column 1.
    flat = published.flatten(2)[:, :, 5 * 4 : 5 * 4 + 4]
    assert torch.equal(ours[:, :, 2:4, 2:4].flatten(2), flat)
