"""The block of CPUs against the one that autograd differentiates."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from mmexact.models import cpu_block, cpu_linear
from mmexact.models.transformer import Block, Encoder

CLASSES, LENGTH, WIDTH = 2, 5, 6


def block(**settings):
    torch.manual_seed(0)
    settings = dict(
        num_heads=3, head_dims=4, mlp_ratio=2, drop_rate=0.0, attn_residual='input'
    ) | settings  # fmt: skip
    made = Block(WIDTH, **settings).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def tokens(batch=7, dtype=torch.float64):
    torch.manual_seed(1)
    return torch.randn(batch, LENGTH, WIDTH, dtype=dtype).requires_grad_()


def hidden_keys(batch=7):
    bias = torch.zeros(batch, 1, 1, LENGTH, dtype=torch.float64)
    bias[::2, ..., 3:] = -torch.inf
    return bias


def outcome(run, model, x, key_bias, rows):
    """Return the output, the class attention and all gradients."""
    model.zero_grad()
    x.grad = None
    out, attention = run(x, key_bias, CLASSES, rows)
    torch.manual_seed(2)
    (out * torch.randn(out.shape, dtype=out.dtype)).sum().backward()
    return [out, attention, x.grad, *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize('rows', [None, CLASSES])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('residual', ['input', 'normed', 'both'])
@pytest.mark.parametrize('with_cp', [False, True])
def test_equals_autograd_in_pieces_of_three_sequences(monkeypatch, residual, masked, rows, with_cp):
    monkeypatch.setattr(cpu_block, 'PIECE_VALUES', 3 * LENGTH * WIDTH)
    model, x = block(attn_residual=residual, with_cp=with_cp), tokens()
    key_bias = hidden_keys() if masked else None
    expected = outcome(model._forward, model, x, key_bias, rows)
    # The attention of the classes is in float32 here whatever the rest is in.
    expected[1] = expected[1].float()
    assert_close(outcome(model, model, x, key_bias, rows), expected)
    with torch.no_grad():
        assert_close(model(x, key_bias, CLASSES, rows), (expected[0], expected[1]))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('convolutions', [False, True])
def test_both_libraries_multiply(monkeypatch, convolutions, dtype):
    monkeypatch.setattr(cpu_linear, 'convolutions_are_faster', lambda dtype: convolutions)
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], dtype=dtype)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], dtype=dtype)
    bias = torch.tensor([0.0, 10.0, 0.0], dtype=dtype)
    out = cpu_linear.linear(x, weight, bias)
    assert out.tolist() == [[[1, 12, -1], [3, 14, -1]]]
    assert torch.equal(cpu_linear.linear(x, weight), out - bias)
    grad = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]]], dtype=dtype)
    of_x, of_weight, of_bias = cpu_linear.linear_backward(grad, x, weight, bias=True)
    assert of_x.tolist() == [[[1, 0], [3, -1]]]
    assert of_weight.tolist() == [[1, 2], [6, 8], [9, 12]]
    assert of_bias.tolist() == [1, 2, 3]
    assert {out.dtype, of_x.dtype, of_weight.dtype, of_bias.dtype} == {dtype}


@pytest.mark.parametrize(
    ('capability', 'processor', 'convolutions'),
    [
        ('AVX512', 'vendor_id : AuthenticAMD', True),
        ('AVX512', 'vendor_id : GenuineIntel', False),
        ('AVX2', 'vendor_id : AuthenticAMD', False),
    ],
)
def test_the_library_is_that_of_the_processor(monkeypatch, capability, processor, convolutions):
    monkeypatch.setattr(cpu_linear, '_processor', lambda: processor)
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    choose = cpu_linear.convolutions_are_faster.__wrapped__
    assert choose(torch.float32) is convolutions
    assert choose(torch.bfloat16)
    assert not choose(torch.float64)


def test_a_hidden_key_changes_nothing():
    model, x = block(), tokens().detach()
    changed = x.clone()
    changed[::2, 3:] += 1
    for run in (model, model._forward):
        out, attention = run(x, hidden_keys(), CLASSES, None)
        other, same_attention = run(changed, hidden_keys(), CLASSES, None)
        assert_close(other[:, :3], out[:, :3])
        assert_close(same_attention, attention)
        assert attention[0, :, 1:].abs().max() == 0
        assert attention[1, :, 1:].min() > 0


def test_computes_in_bfloat16_with_gradients_in_float32():
    torch.manual_seed(0)
    encoder = Encoder(
        2, WIDTH, num_heads=3, head_dims=4, mlp_ratio=2, drop_rate=0.0, attn_residual='input'
    )
    x = tokens(dtype=torch.float32)
    exact = encoder(x, None, CLASSES)
    exact[0].square().mean().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    encoder.zero_grad()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = encoder(x, None, CLASSES)
    rough[0].float().square().mean().backward()
    assert (rough[0].dtype, rough[1].dtype) == (torch.bfloat16, torch.float32)
    for value, reference in zip(rough, exact, strict=True):
        assert 0 < (value.float() - reference).norm() / reference.norm() < 0.01
    size = torch.stack([gradient.norm() for gradient in gradients]).norm()
    for parameter, gradient in zip(encoder.parameters(), gradients, strict=True):
        assert parameter.grad.dtype == torch.float32
        assert 0 < (parameter.grad - gradient).norm() < 0.01 * size


def test_dropout_works_on_a_cpu():
    model, x = block(drop_rate=0.5), tokens()
    torch.manual_seed(0)
    first, second = (model(x, None, 0)[0] for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    assert_close(model(x, None, 0)[0], model._forward(x, None, 0, None)[0])


def test_keeps_less_than_autograd_and_with_checkpointing_the_input_alone():
    x = tokens(batch=64)
    kept = {}
    for name, run in (
        ('autograd', block()._forward),
        ('ours', block().forward),
        ('checkpointing', block(with_cp=True).forward),
    ):
        storages = {}

        def keep(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            out, _ = run(x, None, CLASSES, None)
        kept[name] = sum(storages.values())
        del out
    parameters = sum(parameter.nbytes for parameter in block().parameters())
    assert kept['checkpointing'] == x.nbytes + parameters
    assert kept['checkpointing'] < kept['ours'] < 0.75 * kept['autograd']
