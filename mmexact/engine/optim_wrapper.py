"""Mixed precision in bfloat16, where the processor has instructions for it."""

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


def computes_bfloat16(device_type: str) -> bool:
    """Tell whether mixed precision pays on a kind of device ('cuda', 'cpu', ...).

    Without instructions for bfloat16 a CPU emulates it, at a tenth of the speed of float32.
    """
    if device_type != 'cpu':
        return True
    if platform.machine().lower() in ('x86_64', 'amd64'):
        # oneDNN also says yes to AVX-512 without bfloat16, where it converts to and fro.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    mkldnn = torch.backends.mkldnn.is_available()
    return bool(mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def mixed_precision(device_type: str) -> bool:
    """Tell whether to compute in bfloat16 where it is asked for, and warn once if not."""
    possible = computes_bfloat16(device_type)
    if not possible:
        print_log(
            'mixed precision (--amp) was asked for, but this processor has no instructions for '
            'bfloat16 and would take about ten times as long: float32 is used instead',
            'current',
            logging.WARNING,
        )
    return possible


@torch.compiler.disable  # which would not see the cache of mixed_precision
def autocast(model: nn.Module, wanted: bool = True) -> torch.autocast:
    """Make the context that computes in bfloat16 where a model's weights are, if that is wanted."""
    device_type = next(model.parameters()).device.type
    enabled = wanted and mixed_precision(device_type)
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=enabled)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on a GPU or a CPU.

    The forward pass runs under autocast; weights, gradients and the optimizer stay float32.
    bfloat16 has float32's range, so no loss scaling is needed, and gradient accumulation and
    clipping are those of ``OptimWrapper``. MMEngine's ``AmpOptimWrapper`` refuses to run on a CPU.
    On a CPU without bfloat16 instructions everything stays float32, with a warning.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast to bfloat16 where the model's weights are."""
        with super().optim_context(model), autocast(model):
            yield


def use_bfloat16(cfg: Config) -> None:
    """Exchange a config's ``OptimWrapper`` for the one in mixed precision, in place.

    Raises:
        ValueError: The config has another kind of wrapper.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    name = kind if isinstance(kind, str) else kind.__name__
    if name == 'OptimWrapper':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif name not in ('BFloat16OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'--amp takes the place of an OptimWrapper, the config has a {name}: leave --amp out'
        )
