"""T2I-Adapters: a small network that turns a picture into features for a U-Net's way down, once for all steps.

Source: Mou et al. 2023, arXiv:2302.08453, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Conv2d

__all__ = ["FeatureAdapter", "FeatureAdapterConfig"]


@dataclass(frozen=True, slots=True)
class FeatureAdapterConfig:
    """Sizes of an adapter.

    hint_channels: of the picture. fold: its edge is folded into channels by this much. channels: of each level's
    features. num_blocks: residual blocks of a level. kernel: of each block's second convolution. is_light: blocks work
    at a quarter of the channels, between two 1x1 convolutions. halved: levels that begin by halving the maps.
    """

    hint_channels: int
    fold: int
    channels: tuple[int, ...]
    num_blocks: int
    kernel: int
    is_light: bool
    halved: tuple[int, ...]


class _ResBlock(nn.Module):
    """A 3x3 convolution and another one with a residual around."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.block1 = Conv2d(channels, channels, 3, padding=1)
        self.block2 = Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block2(functional.relu(self.block1(x)))


class _Level(nn.Module):
    """Residual blocks of one size. Keys: in_conv (where the width changes), resnets.N, out_conv (light ones)."""

    def __init__(self, before: int, channels: int, config: FeatureAdapterConfig, *, is_halved: bool) -> None:
        super().__init__()
        self.is_halved = is_halved
        inner = channels // 4 if config.is_light else channels
        self.in_conv = Conv2d(before, inner, 1) if config.is_light or before != inner else nn.Identity()
        self.resnets = nn.Sequential(*(_ResBlock(inner, config.kernel) for _ in range(config.num_blocks)))
        self.out_conv = Conv2d(inner, channels, 1) if config.is_light else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.is_halved:
            x = functional.avg_pool2d(x, 2, ceil_mode=True)
        return self.out_conv(self.resnets(self.in_conv(x)))


class FeatureAdapter(nn.Module):
    """A picture to features of every level. Keys: conv_in (full ones), body.N, as diffusers names them."""

    def __init__(self, config: FeatureAdapterConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hint_channels * config.fold**2
        self.conv_in = nn.Identity() if config.is_light else Conv2d(width, config.channels[0], 3, padding=1)
        before = (width if config.is_light else config.channels[0], *config.channels[:-1])
        self.body = nn.ModuleList(
            _Level(narrow, wide, config, is_halved=level in config.halved)
            for level, (narrow, wide) in enumerate(zip(before, config.channels, strict=True))
        )

    def forward(self, hint: Tensor) -> list[Tensor]:
        """hint [b c h w], sides multiples of the fold → features of each level, from the finest."""
        x = self.conv_in(functional.pixel_unshuffle(hint, self.config.fold))
        features = []
        for level in self.body:
            x = level(x)
            features.append(x)
        return features
