"""The classifier against the published one: forward pass, losses, gradients, prototypes, CAMs."""

import pytest
import reference_data
import torch
from mmseg.structures import SegDataSample
from torch.nn import functional
from torch.testing import assert_close

from mmexact.models.heads.spatial_clue_head import balanced_assignment

CLOSE = dict(atol=1e-5, rtol=1e-5)
GRADIENT = dict(atol=1e-5, rtol=1e-4)
GRADIENTS = {
    'to_patch_embedding.1.weight': 'backbone.patch_embed.weight',
    'temporal_token': 'backbone.class_tokens',
    'temporal_transformer.layers.0.0.fn.to_qkv.weight': (
        'backbone.temporal_encoder.layers.0.attn.qkv.weight'
    ),
    'patch_head.weight': 'spatial_clue_head.conv_cam.weight',
    'space_token': 'backbone.global_token',
}


@pytest.fixture(scope='module')
def arrays():
    return reference_data.load('cls_small.npz')


def samples_of(arrays):
    samples = []
    for label in arrays['cls_label']:
        sample = SegDataSample()
        sample.gt_score = label
        samples.append(sample)
    return samples


def check_gradients(model, arrays, step):
    parameters = dict(model.named_parameters())
    for published, ours in GRADIENTS.items():
        expected = arrays[f'{step}/grad/{published}']
        assert_close(parameters[ours].grad.view_as(expected), expected, **GRADIENT)


def sample_as_published(plan):
    """Draw class by class, each its own pixels only: the published order of random numbers."""
    samples = torch.zeros_like(plan)
    for index in range(plan.shape[0]):
        mask = plan[index].sum(1) > 0
        if mask.any():
            samples[index, mask] = functional.gumbel_softmax(plan[index, mask], tau=0.5, hard=True)
    return samples


def check_assignments(plans, samples, arrays):
    """Compare the recorded plans of one step, foreground first, with the reference's."""
    for kind, plan, sample in zip(('fg', 'bg'), plans, samples, strict=True):
        for index in range(plan.shape[0]):
            mask = plan[index].sum(1) > 0
            key = f'train4000/sinkhorn_{{}}/{kind}{index}'
            assert (key.format('L') in arrays) == bool(mask.any())
            if mask.any():
                assert_close(plan[index, mask], arrays[key.format('L')], **CLOSE)
                assert torch.equal(plan[index, mask].argmax(1), arrays[key.format('index')])
                assert torch.equal(sample[index, mask], arrays[key.format('q')])


def test_forward(arrays):
    model = reference_data.classifier(arrays)
    features = model.extract_feat(reference_data.inputs(arrays))
    temporal, spatial = model.spatial_clue_head(features)

    assert_close(features.temporal_attention, arrays['inter/temporal_to_class_attention'], **CLOSE)
    weights = model.temporal_clue_head.pivotal_dates(features)
    assert_close(weights, arrays['inter/temporal_to_class_weight'], **CLOSE)
    assert_close(model.temporal_clue_head(features), arrays['inter/weighted_tem'], **CLOSE)
    assert_close(model.cls_head(features.global_tokens), arrays['eval/cls_logits'], **CLOSE)
    assert_close(temporal.mean((2, 3)), arrays['eval/temporal_patch_logits'], **CLOSE)
    assert_close(spatial.mean((2, 3)), arrays['eval/spatial_patch_logits'], **CLOSE)


def test_tokens_around_the_temporal_encoder(arrays):
    model = reference_data.classifier(arrays)
    features = model.extract_feat(reference_data.inputs(arrays))
    tokens = torch.cat([features.temporal_tokens, features.date_tokens], dim=1)
    ours = tokens.permute(0, 3, 4, 1, 2).reshape(arrays['inter/z_out_t'].shape)
    assert_close(ours, arrays['inter/z_out_t'], **CLOSE)
    assert not features.temporal_attention.requires_grad


def test_step_before_the_prototypes(arrays):
    model = reference_data.classifier(arrays).train()
    losses = model.loss(reference_data.inputs(arrays), samples_of(arrays))

    assert_close(losses['loss_cls'], arrays['train0/loss_cls'], **CLOSE)
    assert_close(losses['loss_aux'], arrays['train0/loss_aux_cls'], **CLOSE)
    assert_close(losses['loss_affinity'], arrays['train0/loss_tap'], atol=1e-9, rtol=1e-4)
    assert losses['loss_clue'] == 0
    total = sum(losses.values())
    assert_close(total, arrays['train0/loss'], **CLOSE)
    total.backward()
    check_gradients(model, arrays, 'train0')
    assert torch.equal(model.spatial_clue_head.fg_prototypes, arrays['state/fg_proto'])


def test_raw_cams_and_their_refinement(arrays):
    model = reference_data.classifier(arrays)
    features = model.extract_feat(reference_data.inputs(arrays))
    cams = model.spatial_clue_head.raw_cam(*model.spatial_clue_head(features))
    assert_close(cams, arrays['train0/fusion_cam'], **CLOSE)
    pivotal = model.temporal_clue_head(features)
    refined = model.temporal_clue_head.refine(cams.flatten(0, 1), pivotal.flatten(0, 1))
    in_batch = arrays['cls_label'].sum(0) > 0
    expected = arrays['train0/fusion_cam_refine']
    assert_close(refined.view_as(cams)[:, in_batch], expected[:, in_batch], **CLOSE)


def test_steps_with_prototypes(arrays):
    model = reference_data.classifier(arrays, start_iter=0).train()
    head = model.spatial_clue_head
    plans, samples = [], []

    def record(plan):
        plans.append(plan)
        samples.append(sample_as_published(plan))
        return samples[-1]

    head.sample_assignment = record
    torch.manual_seed(0)
    for count, step in enumerate(('train4000', 'train4001'), start=1):
        model.zero_grad()
        losses = model.loss(reference_data.inputs(arrays), samples_of(arrays))
        total = sum(losses.values())
        total.backward()

        assert_close(losses['loss_clue'] / 0.01, arrays[f'{step}/proto_entropy'], **CLOSE)
        assert_close(total, arrays[f'{step}/loss'], **CLOSE)
        check_gradients(model, arrays, step)
        assert head.step == count
        if step == 'train4000':
            assert_close(head.fg_prototypes, arrays[f'{step}/fg_proto_after'], **CLOSE)
            assert_close(head.bg_prototypes, arrays[f'{step}/bg_proto_after'], **CLOSE)
    check_assignments(plans[:2], samples[:2], arrays)
    # The second step's arrays hold the prototypes that it started from, so they say nothing
    # about its update.
    for kind in ('fg', 'bg'):
        before, after = (
            arrays[f'{step}/{kind}_proto_after'] for step in ('train4000', 'train4001')
        )
        assert_close(before, after, atol=1e-6, rtol=0)


@pytest.mark.parametrize('moment', ['gencam', 'gencam_after'])
def test_clue_based_cam(arrays, moment):
    model = reference_data.classifier(arrays).eval()
    if moment == 'gencam_after':
        model.spatial_clue_head.fg_prototypes.copy_(arrays['train4000/fg_proto_after'])
        model.spatial_clue_head.bg_prototypes.copy_(arrays['train4000/bg_proto_after'])
    present = arrays['cls_label'].bool()
    with torch.no_grad():
        features = model.extract_feat(reference_data.inputs(arrays))
        scores = model.spatial_clue_head.clue_cam(features.temporal_tokens)
        pivotal = model.temporal_clue_head(features)
        refined = model.temporal_clue_head.refine(scores[present], pivotal[present])
        scaled = model.activation_maps(features, present)
    assert_close(refined, arrays[f'{moment}/cam'][present], **CLOSE)
    expected = arrays[f'{moment}/cam_minmax_as_saved'].float()
    assert_close(scaled, expected, atol=1e-5, rtol=1e-4)


def test_affinity_propagation(arrays):
    reference = reference_data.load('taap_small.npz')
    head = reference_data.classifier(arrays).temporal_clue_head
    affinity = head.affinity(reference['feat'])
    assert_close(affinity.sum(1), torch.ones(2, 12, 12))
    assert_close(head.propagate(reference['map'][:, 0], affinity), reference['out'][:, 0], **CLOSE)


def test_balanced_assignment():
    reference = reference_data.load('sinkhorn.npz')
    # Half of the pixels are masked: they must neither count nor change the others' shares.
    similarity = torch.cat([torch.full((37, 2), 0.7), reference['input']])
    mask = torch.arange(74) >= 37
    plan = balanced_assignment(similarity[None], mask[None])[0]
    assert_close(plan[37:], reference['L'], **CLOSE)
    assert torch.equal(plan[37:].argmax(1), reference['index'])
    assert not plan[:37].any()
