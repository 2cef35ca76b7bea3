import platform

import pytest
import torch
from mmengine.logging import MMLogger
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

from mmexact.engine import optim_wrapper as engine


def wrapper_of(model: nn.Module, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer, **settings))


def linear(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


@pytest.fixture
def bfloat16(monkeypatch):
    """Let this processor count as one with bfloat16 instructions, or as one without."""

    def choose(there: bool) -> None:
        monkeypatch.setattr(engine, 'computes_bfloat16', lambda device_type: there)
        engine.mixed_precision.cache_clear()

    choose(True)
    yield choose
    engine.mixed_precision.cache_clear()


@pytest.mark.usefixtures('bfloat16')
class TestBFloat16OptimWrapper:
    def test_forward_in_bfloat16_and_update_in_float32(self):
        # 301 is no bfloat16 number: it becomes 300. The gradient of 300 * w is 300.
        model = linear(1.0)
        wrapper = wrapper_of(model)
        with wrapper.optim_context(model):
            output = model(torch.tensor([[301.0]]))
        assert output.dtype == torch.bfloat16
        assert output.item() == 300
        wrapper.update_params(output.float().sum())
        assert model.weight.dtype == torch.float32
        assert model.weight.item() == 1 - 300

    def test_accumulates_and_clips_gradients(self):
        # The mean gradient of inputs 2 and 6 is 4; clipped to 0.5.
        model = linear(0.0)
        wrapper = wrapper_of(model, accumulative_counts=2, clip_grad=dict(max_norm=0.5))
        for value in (2.0, 6.0):
            assert model.weight.item() == 0
            with wrapper.optim_context(model):
                loss = model(torch.tensor([[value]])).float().sum()
            wrapper.update_params(loss)
        assert model.weight.item() == pytest.approx(-0.5, abs=1e-6)


def test_without_bfloat16_instructions_float32_is_used_and_said_once(bfloat16, caplog):
    bfloat16(False)
    model = linear(1.0)
    wrapper = wrapper_of(model)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # MMEngine's does not hand on what it gets
    try:
        for _ in range(2):
            with wrapper.optim_context(model):
                output = model(torch.tensor([[301.0]]))
            assert output.dtype == torch.float32
            assert output.item() == 301
    finally:
        logger.removeHandler(caplog.handler)
    (record,) = caplog.records
    assert 'no instructions for bfloat16' in record.getMessage()
    assert '--amp' in record.getMessage()


def test_this_processor_s_instructions_are_asked_for(monkeypatch):
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    flags = {'_is_avx512_bf16_supported': False, '_is_amx_tile_supported': False}
    for name in flags:
        monkeypatch.setattr(torch.cpu, name, lambda name=name: flags[name])
    assert not engine.computes_bfloat16('cpu')
    assert engine.computes_bfloat16('cuda')
    for name in flags:
        flags[name] = True
        assert engine.computes_bfloat16('cpu')
        flags[name] = False
