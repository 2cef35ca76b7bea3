"""Transformer encoder over short sequences, with the residual variants of the published models."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

AttentionResidual = Literal['input', 'normed', 'both']
PIECE_VALUES = 2**20
"""How many values a CPU encodes at a time without gradient: temporary tensors fit its cache."""


class Attention(nn.Module):
    """Multi-head self-attention over short sequences.

    Args:
        embed_dims: Width D of the tokens.
        num_heads: Number of heads.
        head_dims: Width of one head; heads x head_dims need not equal D.
        drop_rate: Dropout after the output projection, 0..1.
    """

    def __init__(self, embed_dims: int, num_heads: int, head_dims: int, drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = head_dims**-0.5
        self.qkv = nn.Linear(embed_dims, 3 * num_heads * head_dims, bias=False)
        self.proj = nn.Linear(num_heads * head_dims, embed_dims)
        self.drop = nn.Dropout(drop_rate)

    def forward(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int, rows: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            x: Normalised tokens (B, S, D).
            key_bias: 0 at keys to see and -inf at keys to hide, (B, 1, 1, S), or None.
            class_rows: How many leading rows' attention to the other columns is wanted.
            rows: How many leading tokens of each sequence are wanted; None for all.

        Returns:
            (B, rows, D), and the softmaxed attention of the first ``class_rows`` rows to the
            columns after them, averaged over heads, float32 (B, class_rows, S - class_rows)
            without gradient.
        """
        inner = self.proj.in_features
        query = F.linear(x[:, :rows], self.qkv.weight[:inner] * self.scale)
        query = rearrange(query, 'b s (heads d) -> b heads s d', heads=self.num_heads)
        key, value = rearrange(
            F.linear(x, self.qkv.weight[inner:]),
            'b s (kv heads d) -> kv b heads s d',
            kv=2,
            heads=self.num_heads,
        )
        attended, attention = attend(
            query, key, value, key_bias, class_rows, fused=x.device.type != 'cpu'
        )
        merged = rearrange(attended, 'b heads s d -> b s (heads d)')
        return self.drop(self.proj(merged)), attention.mean(1, dtype=torch.float32)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_bias: Tensor | None,
    class_rows: int,
    *,
    fused: bool,
) -> tuple[Tensor, Tensor]:
    """Average values by the softmax of query times key; all are (B, heads, S, d).

    The fused kernel keeps no attention. On CPUs its backward pass is slow, and FLOPs counters do
    not know it.

    Returns:
        The averages, and the attention of the first ``class_rows`` rows to the columns after them
        without gradient, (B, heads, class_rows, S - class_rows).
    """
    if fused:
        attended = F.scaled_dot_product_attention(query, key, value, key_bias, scale=1.0)
        attention = _softmaxed(query[:, :, :class_rows].detach(), key.detach(), key_bias)
    else:
        # Or products would copy the keys in a slower order.
        attention = _softmaxed(query, key.contiguous(), key_bias)
        attended = attention @ value
    return attended, attention.detach()[:, :, :class_rows, class_rows:]


def _softmaxed(query: Tensor, key: Tensor, key_bias: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-1, -2)
    if key_bias is not None:
        scores = scores + key_bias
    # In float32: over short rows a CPU takes three times as long in bfloat16.
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype)


class Block(nn.Module):
    """Pre-norm transformer block with the residual variants of the published models.

    Args:
        embed_dims: Width D of the tokens.
        num_heads: Number of attention heads.
        head_dims: Width of one head.
        mlp_ratio: Hidden width of the MLP over D.
        drop_rate: Dropout, 0..1.
        attn_residual: What the attention's output A(LN x) is added to: 'input' x, 'normed' LN x,
            'both' x + LN x.
        with_cp: Keep only the input for the backward pass and compute the rest again there
            (gradient checkpointing).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        head_dims: int,
        mlp_ratio: int,
        drop_rate: float,
        attn_residual: AttentionResidual,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.attn_residual = attn_residual
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(embed_dims)
        self.attn = Attention(embed_dims, num_heads, head_dims, drop_rate)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dims, mlp_ratio * embed_dims),
            nn.GELU(),
            nn.Dropout(drop_rate),
            nn.Linear(mlp_ratio * embed_dims, embed_dims),
            nn.Dropout(drop_rate),
        )

    def forward(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int, rows: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map (B, S, D) to (B, rows, D); arguments and second result as :class:`Attention`."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._forward, x, key_bias, class_rows, rows, use_reentrant=False)
        return self._forward(x, key_bias, class_rows, rows)

    def _forward(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int, rows: int | None
    ) -> tuple[Tensor, Tensor]:
        normed = self.norm1(x)
        out, class_attention = self.attn(normed, key_bias, class_rows, rows)
        if self.attn_residual != 'input':
            out = out + normed[:, :rows]
        if self.attn_residual != 'normed':
            out = out + x[:, :rows]
        return out + self.mlp(self.norm2(out)), class_attention


class Encoder(nn.Module):
    """Blocks and a final LayerNorm.

    Args:
        depth: Number of blocks.
        embed_dims: Width D of the tokens.
        **block: The other arguments of :class:`Block`.
    """

    def __init__(self, depth: int, embed_dims: int, **block: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(embed_dims, **block) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def forward(
        self,
        x: Tensor,
        key_bias: Tensor | None = None,
        class_rows: int = 0,
        rows: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode sequences.

        Args:
            x: Tokens (B, S, D). Under autocast they take its type at once, and keep it.
            key_bias: 0 at keys to see and -inf at keys to hide, (B, 1, 1, S), or None.
            class_rows: How many leading rows' attention to the other columns is wanted.
            rows: How many leading tokens of each sequence are wanted; None for all.

        Returns:
            (B, rows, D), and the attention of the class rows averaged over heads and blocks,
            (B, class_rows, S - class_rows) without gradient.
        """
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        size = PIECE_VALUES // (x.shape[1] * x.shape[2]) + 1
        if torch.is_grad_enabled() or x.device.type != 'cpu' or len(x) <= size:
            return self._encode(x, key_bias, class_rows, rows)
        pieces = [
            self._encode(
                x[start : start + size],
                None if key_bias is None else key_bias[start : start + size],
                class_rows,
                rows,
            )
            for start in range(0, len(x), size)
        ]
        tokens, attentions = zip(*pieces, strict=True)
        return torch.cat(tokens), torch.cat(attentions)

    def _encode(
        self, x: Tensor, key_bias: Tensor | None, class_rows: int, rows: int | None
    ) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(x), class_rows, x.shape[1] - class_rows, device=x.device)
        for layer in self.layers:
            last = layer is self.layers[-1]
            x, class_attention = layer(x, key_bias, class_rows, rows if last else None)
            total = total + class_attention / len(self.layers)
        return self.norm(x), total
