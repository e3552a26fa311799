"""Attention and the transformer blocks built from it. Tokens are [b n d], feature maps [b c h w]."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Conv2d, GroupNorm, LayerNorm, Linear

__all__ = ["CrossAttention", "FeedForward", "SpatialTransformer", "TransformerBlock", "attend"]


_MAX_SCORES = 1 << 27
"""Scores that are held at once where the kernel holds them all: half a gigabyte in float32."""


def attend(query: Tensor, key: Tensor, value: Tensor, num_heads: int, *, is_causal: bool = False) -> Tensor:
    """Multi-head softmax attention: query [b n d], key and value [b m d] → [b n d].

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    """
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (query, key, value))
    num_rows = _rows_at_once(q, k)
    if is_causal or num_rows >= q.shape[2]:
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    else:
        mixed = _attend_in_parts(q, k, v, num_rows)
    return mixed.transpose(1, 2).flatten(2)


def _attend_in_parts(q: Tensor, k: Tensor, v: Tensor, num_rows: int) -> Tensor:
    """[b h n d], so many queries after each other; rows of the softmax do not depend on each other."""
    parts = [functional.scaled_dot_product_attention(rows, k, v) for rows in q.split(num_rows, dim=2)]
    return torch.cat(parts, dim=2)


def _rows_at_once(q: Tensor, k: Tensor, max_scores: int = _MAX_SCORES) -> int:
    """How many queries [b h n d] to answer at once: all where a kernel keeps no scores, else as many as there is room
    for."""
    keeps_scores = q.device.type == "mps" or (q.dtype is torch.float64 and q.device.type != "cpu")
    if not keeps_scores:
        return q.shape[2]
    return max(1, max_scores // (q.shape[0] * q.shape[1] * k.shape[2]))


class CrossAttention(nn.Module):
    """Attention of tokens to a context, or to themselves. Keys: to_q, to_k, to_v, to_out.0."""

    def __init__(self, width: int, context_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = Linear(width, width, bias=False)
        self.to_k = Linear(context_width, width, bias=False)
        self.to_v = Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(Linear(width, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [b n d], context [b m k] → [b n d]."""
        return self.to_out(attend(self.to_q(x), self.to_k(context), self.to_v(context), self.num_heads))


class _GatedLinear(nn.Module):
    """GEGLU: a linear map times the GELU of another. Source: Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.proj = Linear(width, 2 * inner_width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):
    """Two linear maps with a gate between. Keys: net.0.proj, net.2."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        inner = width * expansion
        self.net = nn.Sequential(_GatedLinear(width, inner), nn.Identity(), Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """[b n d] → [b n d]."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward net, each with a norm before and a residual around.

    attends_itself: False for blocks whose first attention is to the context as well.
    """

    def __init__(self, width: int, context_width: int, num_heads: int, *, attends_itself: bool = True) -> None:
        super().__init__()
        self.attends_itself = attends_itself
        self.attn1 = CrossAttention(width, width if attends_itself else context_width, num_heads)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context_width, num_heads)
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.norm3 = LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """x [b n d], context [b m k] → [b n d]; without a context the second attention is to x as well."""
        return self.look_outward(self.look_inward(x, context), context)

    def look_inward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The first part, self-attention: [b n d] → [b n d]; the context is for blocks that do not attend to x."""
        normed = self.norm1(x)
        return x + self.attn1(normed, normed if self.attends_itself or context is None else context)

    def look_outward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The rest, cross-attention and the feed-forward net: [b n d] → [b n d]."""
        normed = self.norm2(x)
        x = x + self.attn2(normed, normed if context is None else context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the cells of a feature map. Keys: norm, proj_in, transformer_blocks.N, proj_out.

    `uses_linear` says whether the projections are matrices or 1x1 convolutions; the numbers are the same.
    `attends_itself`: as of `TransformerBlock`.
    """

    def __init__(
        self,
        channels: int,
        context_width: int,
        num_heads: int,
        depth: int,
        *,
        uses_linear: bool = False,
        num_groups: int = 32,
        attends_itself: bool = True,
    ) -> None:
        super().__init__()
        self.uses_linear = uses_linear
        self.norm = GroupNorm(num_groups, channels, eps=1e-6)
        self.proj_in = Linear(channels, channels) if uses_linear else Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, context_width, num_heads, attends_itself=attends_itself) for _ in range(depth)
        )
        self.proj_out = Linear(channels, channels) if uses_linear else Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """x [b c h w], context [b m k] or None → [b c h w]."""
        size = x.shape[2:]
        tokens = self.norm(x)
        if not self.uses_linear:
            tokens = self.proj_in(tokens)
        tokens = tokens.flatten(2).transpose(1, 2)
        if self.uses_linear:
            tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        if self.uses_linear:
            tokens = self.proj_out(tokens)
        cells = tokens.transpose(1, 2).unflatten(2, size).contiguous()
        return x + (cells if self.uses_linear else self.proj_out(cells))
