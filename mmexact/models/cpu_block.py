"""The transformer block on CPUs, with a backward pass of its own.

Computes what :class:`~mmexact.models.transformer.Block` computes, faster and in less memory
(docs/performance.md) than PyTorch's autograd does operator by operator:

- it keeps for the backward pass only what costs more to compute again than to keep, not the
  activation of the MLP or the copies around the attention, and normalised tokens in bfloat16 only;
- it works in pieces of about a million values, so that temporary tensors stay small however large
  the batch is;
- its products with weights go to the faster library (:mod:`~mmexact.models.cpu_linear`).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmexact.models.cpu_linear import linear, linear_backward

aten = torch.ops.aten

EPSILON = 1e-5
PIECE_VALUES = 8192 * 128


class Weights(NamedTuple):
    """The parameters of a block, in the order of its layers."""

    norm1: Tensor
    norm1_bias: Tensor
    qkv: Tensor
    proj: Tensor
    proj_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor
    fc1: Tensor
    fc1_bias: Tensor
    fc2: Tensor
    fc2_bias: Tensor

    def cast(self, dtype: torch.dtype) -> 'Weights':
        """Give the products their type; norms compute in float32 whatever their input is."""
        norms = {'norm1', 'norm1_bias', 'norm2', 'norm2_bias'}
        return Weights(
            *(
                tensor if name in norms else tensor.to(dtype)
                for name, tensor in zip(self._fields, self, strict=True)
            )
        )


class Settings(NamedTuple):
    """How a block computes.

    Attributes:
        heads: Number of attention heads.
        scale: Factor of the attention's scores.
        residual: What the attention is added to, see :class:`~mmexact.models.transformer.Block`.
        rows: How many leading tokens of each sequence are wanted; all tokens are seen by them.
        class_rows: How many leading tokens' attention to the tokens after them is wanted.
        recompute: Keep nothing for the backward pass but the block's input.
    """

    heads: int
    scale: float
    residual: str
    rows: int
    class_rows: int
    recompute: bool


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass; b sequences of S tokens, R = ``rows``.

    The first two are computed again in float32, where they would take twice the memory.
    """

    normed: Tensor | None  # (b, S, D)
    query: Tensor | None  # (b * heads, R, d)
    mean1: Tensor
    rstd1: Tensor
    key: Tensor  # (b * heads, S, d)
    value: Tensor  # (b * heads, S, d)
    attention: Tensor  # (b * heads, R, S)
    attended: Tensor  # (b, R, heads * d)
    middle: Tensor  # (b, R, D), between attention and MLP
    mean2: Tensor
    rstd2: Tensor
    hidden: Tensor  # (b, R, 4 D), before the activation


@torch.compiler.disable  # which would take minutes over it and make nothing faster
def run_block(
    x: Tensor, key_bias: Tensor | None, weights: Weights, settings: Settings
) -> tuple[Tensor, Tensor | None]:
    """Run a block without dropout.

    Args:
        x: Tokens (B, S, D) on a CPU, in the type to compute in.
        key_bias: 0 at keys to see and -inf at keys to hide, (B, 1, 1, S), or None.
        weights: Parameters, in any floating type.
        settings: See :class:`Settings`.

    Returns:
        (B, rows, D), and the attention of the class rows to the tokens after them, averaged over
        heads, float32 (B, class_rows, S - class_rows) without gradient, or None without class rows.
    """
    with torch.autocast('cpu', enabled=False):
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights)):
            out, class_attention = _Block.apply(x, key_bias, settings, *weights)
        else:
            cast = weights.cast(x.dtype)
            pieces = [
                _forward(x[piece], None if key_bias is None else key_bias[piece], cast, settings)[
                    :2
                ]
                for piece in _pieces(x)
            ]
            out, class_attention = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return out, class_attention if settings.class_rows else None


def _pieces(x: Tensor) -> list[slice]:
    size = max(1, PIECE_VALUES // x[0].numel())
    return [slice(start, start + size) for start in range(0, len(x), size)]


class _Block(torch.autograd.Function):
    """The block piece by piece, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, key_bias: Tensor | None, settings: Settings, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights = Weights(*parameters).cast(x.dtype)
        batch, length, width = x.shape
        out = x.new_empty(batch, settings.rows, width)
        after = length - settings.class_rows
        class_attention = x.new_empty(batch, settings.class_rows, after, dtype=torch.float32)
        kept: list[Tensor | None] = []
        for piece in _pieces(x):
            bias = None if key_bias is None else key_bias[piece]
            out[piece], class_attention[piece], needed = _forward(x[piece], bias, weights, settings)
            if not settings.recompute:
                kept.extend(needed)
        ctx.save_for_backward(x, key_bias, *weights, *kept)
        ctx.settings = settings
        ctx.types = [parameter.dtype for parameter in parameters]
        ctx.mark_non_differentiable(class_attention)
        return out, class_attention

    @staticmethod
    @torch.compiler.disable
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        settings = ctx.settings
        x, key_bias, *tensors = ctx.saved_tensors
        weights, kept = Weights(*tensors[: len(Weights._fields)]), tensors[len(Weights._fields) :]
        grad = grads[0]
        grad_x = torch.empty_like(x)
        # Sums over many pieces: in float32, whatever the products compute in.
        total = [torch.zeros(w.shape, dtype=t) for w, t in zip(weights, ctx.types, strict=True)]
        for number, piece in enumerate(_pieces(x)):
            if settings.recompute:
                bias = None if key_bias is None else key_bias[piece]
                needed = _forward(x[piece], bias, weights, settings)[2]
            else:
                start = number * len(Kept._fields)
                needed = Kept(*kept[start : start + len(Kept._fields)])
            grad_x[piece], of_piece = _backward(grad[piece], x[piece], weights, needed, settings)
            for sum_, part in zip(total, of_piece, strict=True):
                sum_ += part
        return grad_x, None, None, *total


def _forward(
    x: Tensor, key_bias: Tensor | None, w: Weights, s: Settings
) -> tuple[Tensor, Tensor, Kept]:
    batch, length, _ = x.shape
    inner = w.proj.shape[1]
    normed, mean1, rstd1 = _norm(x, w.norm1, w.norm1_bias)
    wanted = normed[:, : s.rows]
    query = _split_heads(linear(wanted, w.qkv[:inner]), s.heads)
    key_value = linear(normed, w.qkv[inner:]).view(batch, length, 2, s.heads, -1)
    key, value = key_value.permute(2, 0, 3, 1, 4).reshape(2, batch * s.heads, length, -1)
    attention = _scaled(query, key.transpose(1, 2), s.scale)
    if key_bias is not None:
        attention.view(batch, s.heads, s.rows, length).add_(key_bias)
    # The softmax of bfloat16 is three times slower on CPUs than that of float32.
    attention = attention.softmax(-1, dtype=_at_least_float32(x.dtype)).to(x.dtype)
    attended = _merge_heads(torch.bmm(attention, value), batch)
    middle = linear(attended, w.proj, w.proj_bias)
    if s.residual != 'input':
        middle += wanted
    if s.residual != 'normed':
        middle += x[:, : s.rows]
    normed2, mean2, rstd2 = _norm(middle, w.norm2, w.norm2_bias)
    hidden = linear(normed2, w.fc1, w.fc1_bias)
    out = linear(F.gelu(hidden), w.fc2, w.fc2_bias)
    out += middle
    rows = attention.view(batch, s.heads, s.rows, length)[:, :, : s.class_rows, s.class_rows :]
    spare = x.dtype == torch.bfloat16
    kept = Kept(
        normed if spare else None, query if spare else None, mean1, rstd1, key, value, attention,
        attended, middle, mean2, rstd2, hidden,
    )  # fmt: skip
    return out, rows.mean(1, dtype=torch.float32), kept


def _backward(
    grad: Tensor, x: Tensor, w: Weights, kept: Kept, s: Settings
) -> tuple[Tensor, Weights]:
    """Return the gradients of the input and of the weights."""
    batch, length, _ = x.shape
    inner = w.proj.shape[1]
    activated, fc2, fc2_bias = linear_backward(grad, F.gelu(kept.hidden), w.fc2, bias=True)
    hidden = aten.gelu_backward(activated, kept.hidden)
    normed, _, _ = _norm(kept.middle, w.norm2, w.norm2_bias)
    normed, fc1, fc1_bias = linear_backward(hidden, normed, w.fc1, bias=True)
    middle, norm2, norm2_bias = _norm_backward(
        normed, kept.middle, kept.mean2, kept.rstd2, w.norm2, w.norm2_bias
    )
    middle += grad

    attended, proj, proj_bias = linear_backward(middle, kept.attended, w.proj, bias=True)
    # Of the softmax: scores' = attention * (attention' - rows' sums of attention * attention'),
    # and such a sum is the product of a row of the output with its gradient, which is shorter.
    products = (attended * kept.attended).view(batch, s.rows, s.heads, -1)
    sums = products.sum(-1).transpose(1, 2).reshape(batch * s.heads, s.rows, 1)
    attended = _split_heads(attended, s.heads)
    scores = torch.baddbmm(sums, attended, kept.value.transpose(1, 2), beta=-1)
    scores *= kept.attention
    of_query = _merge_heads(_scaled(scores, kept.key, s.scale), batch)
    normed = _norm(x, w.norm1, w.norm1_bias)[0] if kept.normed is None else kept.normed
    wanted = normed[:, : s.rows]
    query = kept.query
    if query is None:
        query = _split_heads(linear(wanted, w.qkv[:inner]), s.heads)
    key_value = x.new_empty(batch, length, 2, s.heads, inner // s.heads)
    for part, of_part in enumerate(
        (
            _scaled(scores.transpose(1, 2), query, s.scale),
            torch.bmm(kept.attention.transpose(1, 2), attended),
        )
    ):
        key_value[:, :, part] = of_part.view(batch, s.heads, length, -1).transpose(1, 2)

    wanted, query_weight, _ = linear_backward(of_query, wanted, w.qkv[:inner], bias=False)
    normed, key_value_weight, _ = linear_backward(
        key_value.view(batch, length, 2 * inner), normed, w.qkv[inner:], bias=False
    )
    normed[:, : s.rows] += wanted
    if s.residual != 'input':
        normed[:, : s.rows] += middle
    grad_x, norm1, norm1_bias = _norm_backward(
        normed, x, kept.mean1, kept.rstd1, w.norm1, w.norm1_bias
    )
    if s.residual != 'normed':
        grad_x[:, : s.rows] += middle
    qkv = torch.cat([query_weight, key_value_weight])
    return grad_x, Weights(
        norm1, norm1_bias, qkv, proj, proj_bias, norm2, norm2_bias, fc1, fc1_bias, fc2, fc2_bias
    )


def _scaled(a: Tensor, b: Tensor, scale: float) -> Tensor:
    return torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    batch, length, inner = x.shape
    split = x.view(batch, length, heads, inner // heads).transpose(1, 2)
    return split.reshape(batch * heads, length, inner // heads)


def _merge_heads(x: Tensor, batch: int) -> Tensor:
    _, length, width = x.shape
    return x.view(batch, -1, length, width).transpose(1, 2).reshape(batch, length, -1)


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.native_layer_norm(x, x.shape[-1:], weight, bias, EPSILON)


def _norm_backward(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return aten.native_layer_norm_backward(
        grad, x, x.shape[-1:], mean, rstd, weight, bias, [True, True, True]
    )


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
