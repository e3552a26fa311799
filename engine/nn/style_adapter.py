"""The style adapter: a picture's CLIP tokens → a few tokens that stand behind a text's.

Source: Mou et al. 2023, arXiv:2302.08453, and the published T2I-Adapter code. Key names are those of `ClipLayer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.nn.clip_layer import ClipEncoder
from engine.nn.layers import LayerNorm

__all__ = ["StyleAdapter", "StyleAdapterConfig"]


@dataclass(frozen=True, slots=True)
class StyleAdapterConfig:
    """Sizes: width of the picture's tokens, of the text's, and how many tokens are made."""

    width: int
    context_width: int
    num_tokens: int
    num_layers: int
    inner_width: int
    num_heads: int = 8


class StyleAdapter(nn.Module):
    """Keys: style_embedding, proj, ln_pre, transformer.layers.N, ln_post."""

    def __init__(self, config: StyleAdapterConfig) -> None:
        super().__init__()
        width = config.width
        self.style_embedding = nn.Parameter(torch.empty(1, config.num_tokens, width))
        self.proj = nn.Parameter(torch.empty(width, config.context_width))
        self.ln_pre = LayerNorm(width)
        self.transformer = ClipEncoder(
            config.num_layers, width, config.num_heads, config.inner_width, "quick_gelu", is_causal=False
        )
        self.ln_post = LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b n width] → [b num_tokens context_width]."""
        own = self.style_embedding.expand(len(tokens), -1, -1)
        x = self.ln_pre(torch.cat([tokens, own], dim=1))
        for layer in self.transformer.layers:
            x = layer(x)
        return self.ln_post(x[:, -own.shape[1] :]) @ self.proj
