"""Products of tokens with weights on CPUs, by the library that is faster on this processor.

PyTorch hands matrix products in float32 to MKL, and convolutions to oneDNN. To multiply tokens by a
weight is also a 1 x 1 convolution, so that both can do it. On AMD's processors with AVX-512, MKL
runs at half of oneDNN's speed; elsewhere it is as fast forward and faster backward
(docs/performance.md). In bfloat16 oneDNN does the work either way.
"""

import platform
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor


@cache
def convolutions_are_faster(dtype: torch.dtype) -> bool:
    """Tell whether products of a type are better computed as convolutions on this processor."""
    if dtype != torch.float32:
        return dtype == torch.bfloat16
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == 'AVX512'
        and 'AuthenticAMD' in _processor()
    )


def _processor() -> str:
    try:
        return Path('/proc/cpuinfo').read_text()
    except OSError:
        return platform.processor()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply (..., I) by a weight (O, I) and add a bias (O,): (..., O)."""
    if not convolutions_are_faster(x.dtype):
        return F.linear(x, weight, bias)
    out = torch.conv2d(_as_image(x), weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).view(*x.shape[:-1], -1)


def linear_backward(
    grad: Tensor, x: Tensor, weight: Tensor, *, bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of :func:`linear`'s input, weight and bias (nothing, without one)."""
    if not convolutions_are_faster(x.dtype):
        rows, tokens = grad.flatten(0, -2), x.flatten(0, -2)
        of_bias = rows.sum(0) if bias else rows.new_empty(0)
        return (rows @ weight).view(x.shape), rows.T @ tokens, of_bias
    of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
        _as_image(grad),
        _as_image(x),
        weight[:, :, None, None],
        [len(weight)] if bias else None,
        [1, 1],
        [0, 0],
        [1, 1],
        False,
        [0, 0],
        1,
        [True, True, bias],
    )
    return of_x.permute(0, 2, 3, 1).view(x.shape), of_weight[:, :, 0, 0], of_bias


def _as_image(x: Tensor) -> Tensor:
    """View (..., C) as one image (1, C, 1, pixels), channels last."""
    return x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
