"""GLIGEN: phrases with boxes as further tokens that a U-Net's self-attention looks at.

Source: Li et al. 2023, arXiv:2301.07093, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.nn.attention import CrossAttention, FeedForward, TransformerBlock
from engine.nn.layers import LayerNorm, Linear
from engine.nn.unet import UNet, UNetConfig

__all__ = ["GatedAttention", "GroundedUNet", "PositionNet", "PositionNetConfig"]

_FREQUENCY_BASE = 100.0


@dataclass(frozen=True, slots=True)
class PositionNetConfig:
    """Sizes of the network that makes objects of phrases: their text, the inner maps, the objects."""

    text_width: int
    inner_width: int
    object_width: int
    num_frequencies: int

    @property
    def position_width(self) -> int:
        """Of a box: sines and cosines of four numbers."""
        return 8 * self.num_frequencies


class PositionNet(nn.Module):
    """Phrases and boxes to objects. Keys: null_positive_feature, null_position_feature, linears."""

    def __init__(self, config: PositionNetConfig) -> None:
        super().__init__()
        self.config = config
        self.null_positive_feature = nn.Parameter(torch.empty(config.text_width))
        self.null_position_feature = nn.Parameter(torch.empty(config.position_width))
        inner = config.inner_width
        self.linears = nn.Sequential(
            Linear(config.text_width + config.position_width, inner),
            nn.SiLU(),
            Linear(inner, inner),
            nn.SiLU(),
            Linear(inner, config.object_width),
        )

    def forward(self, texts: Tensor, boxes: Tensor, is_filled: Tensor) -> Tensor:
        """texts [b n d], boxes (left, top, right, bottom) in [0, 1] [b n 4], is_filled [b n] → objects [b n k].

        A place that is not filled holds what was learned for nothing.
        """
        filled = is_filled[..., None]
        positions = torch.where(filled, self._positions(boxes).to(texts.dtype), self.null_position_feature)
        return self.linears(torch.cat([torch.where(filled, texts, self.null_positive_feature), positions], dim=-1))

    def _positions(self, boxes: Tensor) -> Tensor:
        """[b n 4] → [b n 8·frequencies]: by frequency, then sine and cosine, then the box's number."""
        count = self.config.num_frequencies
        frequencies = _FREQUENCY_BASE ** (torch.arange(count, device=boxes.device, dtype=torch.float32) / count)
        angles = boxes.float()[..., None, :] * frequencies[:, None]
        return torch.stack([angles.sin(), angles.cos()], dim=-2).flatten(-3)


class GatedAttention(nn.Module):
    """Self-attention over cells and objects together, let in by learned gates.

    Keys: linear, attn, ff, norm1, norm2, alpha_attn, alpha_dense.
    """

    def __init__(self, width: int, object_width: int, num_heads: int) -> None:
        super().__init__()
        self.linear = Linear(object_width, width)
        self.attn = CrossAttention(width, width, num_heads)
        self.ff = FeedForward(width)
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.alpha_attn = nn.Parameter(torch.empty(()))
        self.alpha_dense = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor, objects: Tensor) -> Tensor:
        """x [b n d], objects [b m k] → [b n d]."""
        normed = self.norm1(torch.cat([x, self.linear(objects)], dim=1))
        x = x + self.alpha_attn.tanh() * self.attn(normed[:, : x.shape[1]], normed)
        return x + self.alpha_dense.tanh() * self.ff(self.norm2(x))


class GroundedUNet(UNet):
    """A U-Net with gated attention in some of its transformer blocks; it computes as the U-Net until that is used.

    Keys: those of the U-Net, and `fuser` in those blocks. fusers: width of the objects by name of the block.
    """

    def __init__(self, config: UNetConfig, fusers: Mapping[str, int]) -> None:
        super().__init__(config)
        for name, object_width in fusers.items():
            block = self.get_submodule(name)
            if not isinstance(block, TransformerBlock):
                raise TypeError(f"{name} is no transformer block")
            width = block.norm1.normalized_shape[0]
            block.fuser = GatedAttention(width, object_width, config.heads(width))
