"""Run a tool in bfloat16 on a CPU without instructions for it, with the results of one that has.

For questions of accuracy only, it saves no time: products of matrices, which such a CPU would
compute in bfloat16 at a tenth of float32's speed, are computed in float32 from the same bfloat16
values and rounded once, as the instructions do. All else runs in bfloat16 as it would anyway.

    python tools/analysis_tools/emulated_bfloat16.py tools/train.py configs/exact/cls_demo.py --amp
"""

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmexact import engine

aten = torch.ops.aten
PRODUCTS = {
    aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward,
}  # fmt: skip


class EmulatedBFloat16(TorchDispatchMode):
    """Computes products of bfloat16 tensors in float32 and rounds what comes out."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in PRODUCTS or torch.bfloat16 not in map(_dtype, args):
            return func(*args, **kwargs)
        result = func(*(_convert(arg, torch.bfloat16, torch.float32) for arg in args), **kwargs)
        if isinstance(result, tuple):
            return tuple(_convert(part, torch.float32, torch.bfloat16) for part in result)
        return _convert(result, torch.float32, torch.bfloat16)


def _dtype(value: Any) -> torch.dtype | None:
    return value.dtype if isinstance(value, Tensor) else None


def _convert(value: Any, source: torch.dtype, target: torch.dtype) -> Any:
    return value.to(target) if _dtype(value) == source else value


def main() -> None:
    """Run the tool that the command line names, with the arguments that follow it."""
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__)
        raise SystemExit(len(sys.argv) < 2)
    tool = sys.argv[1]
    if not Path(tool).is_file():
        raise SystemExit(f'{tool}: no such file; expected a tool such as tools/train.py')
    engine.computes_bfloat16 = lambda device_type: True
    del sys.argv[0]
    with EmulatedBFloat16():
        runpy.run_path(tool, run_name='__main__')


if __name__ == '__main__':
    main()
