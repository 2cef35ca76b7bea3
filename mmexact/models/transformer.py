"""Transformer encoder over short sequences, with the residual variants of the published models."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

AttentionResidual = Literal['input', 'normed', 'both']


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
        self, x: Tensor, key_bias: Tensor | None, class_rows: int
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: Normalised tokens (B, S, D).
            key_bias: 0 at keys to see and -inf at keys to hide, (B, 1, 1, S), or None.
            class_rows: How many leading rows' attention to the other columns is wanted.

        Returns:
            (B, S, D), and the softmaxed attention of the first ``class_rows`` rows to the columns
            after them, averaged over heads, (B, class_rows, S - class_rows) without gradient, or
            None when ``class_rows`` is 0.
        """
        query, key, value = rearrange(
            self.qkv(x), 'b s (qkv heads d) -> qkv b heads s d', qkv=3, heads=self.num_heads
        )
        query = query * self.scale
        class_attention = None
        if x.is_cuda:
            attended = F.scaled_dot_product_attention(query, key, value, key_bias, scale=1.0)
            if class_rows:
                with torch.no_grad():
                    rows = _softmaxed(query[:, :, :class_rows], key, key_bias)
                    class_attention = rows[..., class_rows:].mean(1)
        else:
            # On CPUs plain matrix products beat the fused kernel for sequences of a few dozen
            # tokens, several times over in bfloat16, whose fused backward is slow.
            attention = _softmaxed(query, key, key_bias)
            attended = attention @ value
            if class_rows:
                class_attention = attention.detach()[:, :, :class_rows, class_rows:].mean(1)
        merged = rearrange(attended, 'b heads s d -> b s (heads d)')
        return self.drop(self.proj(merged)), class_attention


def _softmaxed(query: Tensor, key: Tensor, key_bias: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-1, -2)
    if key_bias is not None:
        scores = scores + key_bias
    return scores.softmax(-1)


class Block(nn.Module):
    """Pre-norm transformer block with the residual variants of METHOD's published models.

    Args:
        embed_dims: Width D of the tokens.
        num_heads: Number of attention heads.
        head_dims: Width of one head.
        mlp_ratio: Hidden width of the MLP over D.
        drop_rate: Dropout, 0..1.
        attn_residual: What the attention's output A(LN x) is added to: 'input' x, 'normed' LN x,
            'both' x + LN x.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        head_dims: int,
        mlp_ratio: int,
        drop_rate: float,
        attn_residual: AttentionResidual,
    ) -> None:
        super().__init__()
        self.attn_residual = attn_residual
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
        self, x: Tensor, key_bias: Tensor | None, class_rows: int
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, S, D) to (B, S, D); arguments and second result as :class:`Attention`."""
        normed = self.norm1(x)
        attended, class_attention = self.attn(normed, key_bias, class_rows)
        if self.attn_residual == 'input':
            x = x + attended
        elif self.attn_residual == 'normed':
            x = normed + attended
        else:
            x = x + normed + attended
        return x + self.mlp(self.norm2(x)), class_attention


class Encoder(nn.Module):
    """Blocks and a final LayerNorm.

    Args:
        depth: Number of blocks.
        embed_dims: Width D of the tokens.
        **block: The other arguments of :class:`Block`.
    """

    def __init__(self, depth: int, embed_dims: int, **block) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(embed_dims, **block) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims)

    def forward(
        self, x: Tensor, key_bias: Tensor | None = None, class_rows: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, S, D) to (B, S, D); the class attention is averaged over the blocks."""
        total = None
        for layer in self.layers:
            x, class_attention = layer(x, key_bias, class_rows)
            if class_attention is not None:
                total = class_attention if total is None else total + class_attention
        return self.norm(x), None if total is None else total / len(self.layers)
