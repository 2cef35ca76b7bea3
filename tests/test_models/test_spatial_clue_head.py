"""Prototypes and CAMs against METHOD section 5 written as loops, and values on paper."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from mmexact.models import SpatialClueHead, TSViTOutput

LN2 = math.log(2)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loop_sinkhorn(similarity: torch.Tensor) -> torch.Tensor:
    """METHOD section 5, prototypes in rows and pixels in columns."""
    plan = (similarity.T / 0.05).exp()
    prototypes, pixels = plan.shape
    plan = plan / plan.sum()
    for _ in range(3):
        plan = plan / plan.sum(1, keepdim=True) / prototypes
        plan = plan / plan.sum(0, keepdim=True) / pixels
    return (plan * pixels).T


def loop_clue_loss(head, cams, tokens, labels):
    """Section 5 pixel by pixel; returns the loss and the prototypes, assigned by argmax."""
    samples, classes, height, width = cams.shape
    prototypes = [head.fg_prototypes.clone(), head.bg_prototypes.clone()]
    per_class = prototypes[0].shape[1]
    loss = torch.zeros(())
    for kind in (0, 1):
        moved = prototypes[kind].clone()
        anchors = functional.normalize(torch.cat([*prototypes[0], *prototypes[1]]), dim=-1)
        for crop in range(classes):
            chosen, weights = [], []
            for sample in range(samples):
                cam = cams[sample, crop] / (cams[sample, crop].max() + 1e-5)
                for row in range(height):
                    for column in range(width):
                        value = cam[row, column]
                        inside = labels[sample, crop] == 1 and value >= 0.4
                        if inside if kind == 0 else value < 0.2:
                            token = tokens[sample, crop, :, row, column]
                            chosen.append(token / token.norm())
                            weights.append(value)
            if not chosen:
                continue
            pixels = torch.stack(chosen)
            similarity = pixels.detach() @ prototypes[kind][crop].T
            assigned = loop_sinkhorn(similarity).argmax(1)
            target = kind * classes * per_class + crop * per_class + assigned
            loss = loss + functional.cross_entropy(pixels @ anchors.T / 0.1, target) / classes
            for number in range(per_class):
                total = torch.zeros(pixels.shape[1])
                weight = 0.0
                for pixel, value, index in zip(chosen, weights, assigned, strict=True):
                    if index == number:
                        total += value**2 * pixel.detach()
                        weight += value**2
                if weight > 0:
                    new = total / total.norm()
                    old = prototypes[kind][crop, number]
                    moved[crop, number] = head.momentum * old + (1 - head.momentum) * new
        prototypes[kind] = functional.normalize(moved, dim=-1)
    return loss, prototypes


def assign_by_argmax(head: SpatialClueHead) -> SpatialClueHead:
    """Take the random draw out."""
    head.sample_assignment = lambda plan: functional.one_hot(
        plan.argmax(-1), plan.shape[-1]
    ).float()
    return head


def make_head(classes: int = 4, dims: int = 5, **settings) -> SpatialClueHead:
    torch.manual_seed(0)
    return SpatialClueHead(classes, dims, **dict(start_iter=0, momentum=0.9) | settings)


def test_maps_are_one_shared_convolution_of_either_token():
    head = make_head(classes=3, dims=2)
    with torch.no_grad():
        head.conv_cam.weight.zero_()
        head.conv_cam.weight[0, 1, 1, 2] = 1.0  # the second width, one column to the right
        head.conv_cam.bias.fill_(0.25)
    temporal, spatial = random(2, 3, 2, 4, 6), random(2, 3, 2, 4, 6, seed=1)
    features = TSViTOutput(spatial, temporal, None, None, None, None, 2)
    maps = head(features)
    for tokens, found in zip((temporal, spatial), maps, strict=True):
        assert found.shape == (2, 3, 4, 6)
        assert_close(found[..., :-1], tokens[:, :, 1, :, 1:] + 0.25)
        assert_close(found[..., -1], torch.full((2, 3, 4), 0.25))


def test_raw_cam_by_hand():
    temporal, spatial = torch.tensor([1.0, -1.0, -2.0]), torch.tensor([3.0, 4.0, -1.0])
    assert SpatialClueHead.raw_cam(temporal, spatial).tolist() == [2.0, 2.0, 0.0]


def test_clue_cam_by_hand():
    head = make_head(classes=1, dims=2)
    head.fg_prototypes.copy_(torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]))
    head.bg_prototypes.copy_(torch.tensor([[[-1.0, 0.0], [0.6, -0.8]]]))
    tokens = torch.tensor([[6.0, 8.0], [0.0, -3.0], [-2.0, 0.0]]).T.view(1, 1, 2, 1, 3)
    # Nearest foreground 0.8, 0 and 0; nearest background 0.36 - 0.64, 0.8 and 1.
    cam = head.clue_cam(tokens)
    assert_close(cam, torch.tensor([0.8 + 0.28, 0.0, 0.0]).view(1, 1, 1, 3))


@pytest.mark.parametrize('presence', ['some', 'none'])
def test_batched_steps_agree_with_loops(presence):
    head = assign_by_argmax(make_head())
    labels = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]])
    if presence == 'none':
        labels.zero_()
    for step in range(2):
        temporal, spatial = random(3, 4, 3, 5, seed=step), random(3, 4, 3, 5, seed=9 + step)
        temporal[:, 3] = spatial[:, 3] = 1.0  # active everywhere: no background
        spatial[:, 0] = temporal[:, 0] = -1.0  # nowhere active: background without weight
        spatial[0, 0, 1, 1] = 2.0
        tokens = random(3, 4, 5, 3, 5, seed=20 + step)
        ours, theirs = (tokens.clone().requires_grad_() for _ in range(2))
        cams = (temporal.relu() + spatial.relu()) / 2
        expected, prototypes = loop_clue_loss(head, cams, theirs, labels)
        loss = head.loss(temporal, spatial, ours, labels)['loss_clue']
        loss.backward()
        (0.01 * expected).backward()
        assert_close(loss, 0.01 * expected.detach())
        assert_close(ours.grad, theirs.grad)
        assert_close(head.fg_prototypes, prototypes[0])
        assert_close(head.bg_prototypes, prototypes[1])


def test_momentum_by_hand():
    head = assign_by_argmax(make_head(classes=1, dims=2, num_prototypes=1, momentum=0.5))
    head.fg_prototypes.copy_(torch.tensor([[[1.0, 0.0]]]))
    head.bg_prototypes.copy_(torch.tensor([[[0.0, -2.0]]]))
    # Normalised CAMs 1 and 1/2 weigh 1 and 1/4; no pixel is background.
    cams = torch.tensor([4.0, 2.0]).view(1, 1, 1, 2)
    tokens = torch.tensor([[0.0, 3.0], [5.0, 0.0]]).T.reshape(1, 1, 2, 1, 2)
    head.loss(cams, cams, tokens, torch.ones(1, 1))
    new = torch.tensor([0.25, 1.0]) / math.hypot(0.25, 1.0)
    moved = 0.5 * torch.tensor([1.0, 0.0]) + 0.5 * new
    assert_close(head.fg_prototypes[0, 0], moved / moved.norm())
    assert_close(head.bg_prototypes[0, 0], torch.tensor([0.0, -1.0]))


def test_prototypes_wait_for_their_step():
    head = make_head(start_iter=2)
    before = head.fg_prototypes.clone()
    maps, tokens = random(2, 4, 3, 3), random(2, 4, 5, 3, 3)
    for step in range(3):
        loss = head.loss(maps, maps, tokens, torch.ones(2, 4))['loss_clue']
        assert head.step == step + 1
        assert (loss > 0) == (step == 2)
        assert torch.equal(head.fg_prototypes, before) == (step < 2)


def test_aux_loss_by_hand():
    head = make_head(start_iter=9, aux_weight=0.5)
    maps = torch.zeros(2, 4, 3, 3)
    losses = head.loss(maps, maps, random(2, 4, 5, 3, 3), torch.ones(2, 4))
    assert losses['loss_aux'].item() == pytest.approx(0.5 * LN2)
    assert losses['loss_clue'] == 0


def test_a_checkpoint_brings_prototypes_and_step_back():
    maps, tokens = random(2, 4, 3, 3), random(2, 4, 5, 3, 3)
    labels = torch.ones(2, 4)
    head = make_head(start_iter=1)
    for _ in range(2):
        head.loss(maps, maps, tokens, labels)
    assert not {name for name, _ in head.named_parameters()} & {'fg_prototypes', 'step'}
    state = {name: value.clone() for name, value in head.state_dict().items()}
    resumed = SpatialClueHead(4, 5, start_iter=1, momentum=0.9)
    resumed.load_state_dict(state)
    assert resumed.step == 2
    losses = []
    for model in (head, resumed):
        torch.manual_seed(3)
        losses.append(model.loss(maps, maps, tokens, labels)['loss_clue'])
    assert losses[0] == losses[1] > 0
    assert torch.equal(head.fg_prototypes, resumed.fg_prototypes)
    assert torch.equal(head.bg_prototypes, resumed.bg_prototypes)
