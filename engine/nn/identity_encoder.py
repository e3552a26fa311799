"""PhotoMaker's encoder: portraits → a person's vectors, joined with those of the word that stands for the person.

Source: Li et al. 2023, arXiv:2312.04461, and the published code. Key names are those of the published file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import LayerNorm, Linear
from engine.nn.vision_transformer import VisionConfig, VisionTransformer

__all__ = ["IdentityEncoder"]


class _Mapping(nn.Module):
    """A norm, two linear maps with a GELU between, a residual where the width stays. Keys: layernorm, fc1, fc2."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.layernorm = LayerNorm(width)
        self.fc1 = Linear(width, out_width)
        self.fc2 = Linear(out_width, out_width)
        self.is_residual = width == out_width

    def forward(self, x: Tensor) -> Tensor:
        """[n d] → [n out_width]."""
        mapped = self.fc2(functional.gelu(self.fc1(self.layernorm(x))))
        return mapped + x if self.is_residual else mapped


class _Fuse(nn.Module):
    """Joins each token's vector with that of a portrait. Keys: mlp1, mlp2, layer_norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = _Mapping(2 * width, width)
        self.mlp2 = _Mapping(width, width)
        self.layer_norm = LayerNorm(width)

    def forward(self, tokens: Tensor, portraits: Tensor) -> Tensor:
        """[n d] and [n d] → [n d]."""
        joined = self.mlp1(torch.cat([tokens, portraits], dim=-1)) + tokens
        return self.layer_norm(self.mlp2(joined))


class IdentityEncoder(VisionTransformer):
    """A CLIP vision transformer with a second projection, and what joins both with a text's tokens.

    Keys: those of the vision transformer, visual_projection_2, fuse_module. The width of the text is that of both
    projections together.
    """

    def __init__(self, config: VisionConfig, second_width: int) -> None:
        super().__init__(config)
        self.visual_projection_2 = Linear(config.width, second_width, bias=False)
        self.fuse_module = _Fuse((config.projection_width or 0) + second_width)

    def fused(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Pixels [n 3 s s] as the vision transformer takes them, tokens [n d] → tokens [n d] that know the person."""
        states = self(pixels)
        portraits = torch.cat([states.embedding, self.visual_projection_2(states.pooled)], dim=-1)
        return self.fuse_module(tokens, portraits)
