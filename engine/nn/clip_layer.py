"""The transformer layer that CLIP's text and picture towers share, with the key names of the transformers library."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.attention import attend
from engine.nn.layers import LayerNorm, Linear

__all__ = ["ClipEncoder", "ClipLayer"]


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int, *, is_causal: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.is_causal = is_causal
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.q_proj = Linear(width, width)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return self.out_proj(attend(query, key, value, self.num_heads, is_causal=self.is_causal))


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner_width: int, *, is_quick: bool) -> None:
        super().__init__()
        self.is_quick = is_quick
        self.fc1 = Linear(width, inner_width)
        self.fc2 = Linear(inner_width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden) if self.is_quick else functional.gelu(hidden))


class ClipLayer(nn.Module):
    """Attention and two linear maps, each normed before and added to its input.

    `activation` is quick_gelu (OpenAI) or gelu (OpenCLIP). Source: Radford et al. 2021, arXiv:2103.00020.
    """

    def __init__(self, width: int, num_heads: int, inner_width: int, activation: str, *, is_causal: bool) -> None:
        super().__init__()
        self.self_attn = _Attention(width, num_heads, is_causal=is_causal)
        self.layer_norm1 = LayerNorm(width)
        self.mlp = _FeedForward(width, inner_width, is_quick=activation == "quick_gelu")
        self.layer_norm2 = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[b n d] → [b n d]."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class ClipEncoder(nn.Module):
    """The layers of a tower, below the name `layers`."""

    def __init__(
        self, num_layers: int, width: int, num_heads: int, inner_width: int, activation: str, *, is_causal: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ClipLayer(width, num_heads, inner_width, activation, is_causal=is_causal) for _ in range(num_layers)
        )
