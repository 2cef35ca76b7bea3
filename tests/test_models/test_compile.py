"""Training with MMEngine's ``compile`` setting: what is compiled stays, and learns the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch._dynamo import register_backend

from mmexact.engine import optim_wrapper
from tests.toy_classifier import toy_config, write_tree

ITERATIONS = 6

GRAPHS: list[torch.fx.GraphModule] = []


@register_backend(name='as_captured')
def run_as_captured(module: torch.fx.GraphModule, inputs: list) -> Callable:
    """Run graphs as they were captured, which needs no C++ compiler."""
    GRAPHS.append(module)
    return module.forward


class GraphCounter(Hook):
    """Notes how many graphs there are after every iteration."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.counts.append(len(GRAPHS))


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    return write_tree(tmp_path_factory.mktemp('compile') / 'PASTIS')


def train(tree: Path, work_dir: Path, **settings: Any) -> tuple[dict, list[int]]:
    """Train with prototypes from the fourth iteration on; returns weights and counts of graphs."""
    torch._dynamo.reset()
    GRAPHS.clear()
    settings |= {
        'train_cfg.max_iters': ITERATIONS,
        'model.spatial_clue_head.start_iter': 3,
        # Tracing Adam takes as long as tracing the model.
        'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1),
        'param_scheduler': dict(type='LinearLR', begin=0, end=ITERATIONS, by_epoch=False),
    }
    runner = Runner.from_cfg(toy_config(tree, work_dir, **settings))
    counter = GraphCounter()
    runner.register_hook(counter)
    runner.train()
    return runner.model.state_dict(), counter.counts


@pytest.fixture
def everywhere_bfloat16(monkeypatch):
    monkeypatch.setattr(optim_wrapper, 'computes_bfloat16', lambda device_type: True)
    optim_wrapper.mixed_precision.cache_clear()
    yield
    optim_wrapper.mixed_precision.cache_clear()


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'BFloat16OptimWrapper'])
def test_a_compiled_training_learns_the_same(tree, tmp_path, everywhere_bfloat16, wrapper):
    settings = {'optim_wrapper.type': wrapper}
    expected, _ = train(tree, tmp_path / 'plain', **settings)
    settings |= dict(compile=dict(backend='as_captured'))
    weights, graphs = train(tree, tmp_path / 'compiled', **settings)
    # Some are captured at the start and when the prototypes start, none for every new number of
    # crops in a batch, learning rate or step.
    assert 0 < graphs[1] <= graphs[4] == graphs[-1]
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)


class Line(BaseModel):
    """Fits a line to zero and notes in which type."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        predicted = self.slope(inputs)
        self.kind = predicted.dtype
        return dict(loss=predicted.float().square().mean())


def test_a_compiled_step_computes_in_bfloat16(everywhere_bfloat16):
    model = Line()
    wrapper = optim_wrapper.BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    torch._dynamo.reset()
    step = torch.compile(model.train_step, backend='as_captured')
    losses = [step(dict(inputs=torch.ones(2, 1)), wrapper)['loss'] for _ in range(3)]
    assert model.kind == torch.bfloat16
    assert losses[0] > losses[1] > losses[2]
