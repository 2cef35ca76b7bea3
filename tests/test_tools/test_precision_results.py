"""bfloat16 against float32: the emulated products, the tool at toy size, its table by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmexact.datasets.synthetic import write_pastis_tree

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / 'tools/analysis_tools'
sys.path.insert(0, str(FOLDER))

from emulated_bfloat16 import EmulatedBFloat16  # noqa: E402
from precision_results import MEASURES, table  # noqa: E402


def call(folder: Path, tool: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, FOLDER / tool, *args],
        cwd=folder,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )


def rounded(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()


def test_products_are_exact_ones_rounded_once():
    a, b, c = rounded(4, 8, 32), rounded(4, 32, 16), rounded(4, 8, 16)
    exact = a.double() @ b.double()
    with EmulatedBFloat16():
        products = torch.bmm(a, b), torch.baddbmm(c, a, b, beta=2, alpha=0.5), a[0] @ b[0]
    for product, expected in zip(
        products, (exact, 2 * c.double() + 0.5 * exact, exact[0]), strict=True
    ):
        assert product.dtype == torch.bfloat16
        # Values in 1..2 are 2 ** -7 apart; the sums in float32 add next to nothing.
        assert ((product.double() - expected).abs() <= 2**-7.99 * expected.abs() + 1e-6).all()


def test_gradients_pass_through_rounded_products():
    layer = nn.Conv2d(16, 8, 1).bfloat16()
    x = rounded(2, 16, 3, 3).requires_grad_()
    with EmulatedBFloat16():
        layer(x).sum().backward()
    weight = layer.weight.double()
    assert layer.weight.grad.dtype == x.grad.dtype == torch.bfloat16
    expected = weight.sum(0).expand(2, 16, 3, 3)
    torch.testing.assert_close(x.grad.double(), expected, rtol=2**-8, atol=1e-6)
    sums = x.detach().double().sum((0, 2, 3)).expand(8, 16)
    torch.testing.assert_close(layer.weight.grad[..., 0, 0].double(), sums, rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(layer.bias.grad.double(), torch.full((8,), 18.0).double())


def test_other_types_are_left_alone():
    a = torch.randn(3, 3)
    with EmulatedBFloat16():
        assert torch.equal(a @ a, torch.mm(a, a))
        assert (a @ a).dtype == torch.float32


def test_a_missing_tool_is_named(tmp_path):
    done = call(tmp_path, 'emulated_bfloat16.py', 'tools/trian.py')
    assert done.returncode == 1
    assert done.stderr == 'tools/trian.py: no such file; expected a tool such as tools/train.py\n'


def test_the_table_s_figures():
    float32 = [dict.fromkeys(MEASURES, value) for value in (80.0, 84.0)]
    bfloat16 = [dict.fromkeys(MEASURES, value) for value in (81.0, 88.0)]
    bfloat16[1]['mAP'] = 82.0
    lines = table(dict(float32=float32, bfloat16=bfloat16)).splitlines()
    assert lines[2] == (
        '| mAP | 82.0 ± 2.8 (80.0, 84.0) | 81.5 ± 0.7 (81.0, 82.0) | -0.5, within the spread |'
    )
    assert lines[3].endswith(' | 84.5 ± 4.9 (81.0, 88.0) | +2.5, outside the spread |')


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp('precisions')
    write_pastis_tree(folder / 'data', num_patches=5, num_dates=(6, 8))
    done = call(
        folder, 'precision_results.py', '--data-root', 'data', '--work-dir', 'work',
        '--iterations', '2', '--seeds', '1',
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_both_precisions_are_trained_and_compared(ran):
    folder, output = ran
    rows = [line.split(' | ') for line in output.splitlines() if line.startswith('| m')]
    assert [row[0] for row in rows] == [f'| {name}' for name in MEASURES]
    assert all(0 <= float(cell.split()[0]) <= 100 for row in rows for cell in row[1:3])
    configs = {
        name: next((folder / f'work/{name}/cls_demo/seed0').glob('*.py')).read_text()
        for name in ('float32', 'bfloat16')
    }
    assert ['BFloat16OptimWrapper' in text for text in configs.values()] == [False, True]
    log = (folder / 'work/bfloat16/cls_demo/seed0/train.log').read_text()
    assert 'float32 is used instead' not in log
    # Two steps away from the same start, the weights differ only by rounding.
    weights = [
        torch.load(folder / f'work/{name}/cls_demo/seed0/iter_2.pth', weights_only=False)
        for name in configs
    ]
    first, second = (checkpoint['state_dict'] for checkpoint in weights)
    name = 'backbone.patch_embed.weight'
    assert not torch.equal(first[name], second[name])
    torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-2)
