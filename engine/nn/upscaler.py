"""Networks that enlarge pictures, with the key names of the published Real-ESRGAN files.

Source: Wang et al. 2018, arXiv:1809.00219 (residual in residual dense blocks); Wang et al. 2021, arXiv:2107.10833 (the
compact form, and pixels folded into channels for factors below four).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Conv2d

__all__ = ["CompactUpscaler", "CompactUpscalerConfig", "DenseUpscaler", "DenseUpscalerConfig"]


@dataclass(frozen=True, slots=True)
class CompactUpscalerConfig:
    """Width, number of 3x3 convolutions between the first and the last, and the factor."""

    channels: int
    num_convs: int
    scale: int
    pixel_channels: int = 3


class CompactUpscaler(nn.Module):
    """A chain of convolutions at the small size, unfolded at its end and added to the enlarged input. Keys: body.N."""

    def __init__(self, config: CompactUpscalerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        layers: list[nn.Module] = [Conv2d(config.pixel_channels, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(config.num_convs):
            layers += [Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        layers.append(Conv2d(width, config.pixel_channels * config.scale**2, 3, padding=1))
        self.body = nn.ModuleList(layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b 3 h w] in [0, 1] → [b 3 sh sw], not clamped."""
        scale = self.config.scale
        x = pixels
        for layer in self.body:
            x = layer(x)
        enlarged = functional.interpolate(pixels, scale_factor=float(scale), mode="nearest")
        return functional.pixel_shuffle(x, scale) + enlarged


@dataclass(frozen=True, slots=True)
class DenseUpscalerConfig:
    """Sizes of a dense upscaler.

    num_doublings: nearest-neighbour enlargements by two inside. fold: pixels folded into channels before, so that the
    factor is 2**num_doublings / fold.
    """

    channels: int
    num_blocks: int
    growth: int
    num_doublings: int
    fold: int = 1
    pixel_channels: int = 3

    @property
    def scale(self) -> int:
        """Enlargement of height and width."""
        return 2**self.num_doublings // self.fold


class _DenseBlock(nn.Module):
    """Five convolutions, each seeing all before it; a fifth of the result is added to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in range(5):
            wanted = growth if number < 4 else channels
            self.add_module(f"conv{number + 1}", Conv2d(channels + number * growth, wanted, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for number, conv in enumerate(self.children()):
            made = conv(seen)
            if number == 4:
                return x + 0.2 * made
            seen = torch.cat([seen, functional.leaky_relu(made, 0.2)], dim=1)
        raise AssertionError("a dense block has five convolutions")


class _Residual(nn.Module):
    """Three dense blocks; a fifth of their change is added to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(channels, growth)
        self.rdb2 = _DenseBlock(channels, growth)
        self.rdb3 = _DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class DenseUpscaler(nn.Module):
    """ESRGAN. Keys: conv_first, body.N.rdbM.convK, conv_body, conv_upN, conv_hr, conv_last."""

    def __init__(self, config: DenseUpscalerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.conv_first = Conv2d(config.pixel_channels * config.fold**2, width, 3, padding=1)
        self.body = nn.ModuleList(_Residual(width, config.growth) for _ in range(config.num_blocks))
        self.conv_body = Conv2d(width, width, 3, padding=1)
        for number in range(1, config.num_doublings + 1):
            self.add_module(f"conv_up{number}", Conv2d(width, width, 3, padding=1))
        self.conv_hr = Conv2d(width, width, 3, padding=1)
        self.conv_last = Conv2d(width, config.pixel_channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [b 3 h w] in [0, 1], sides multiples of `fold` → [b 3 sh sw], not clamped."""
        if self.config.fold > 1:
            pixels = functional.pixel_unshuffle(pixels, self.config.fold)
        first = self.conv_first(pixels)
        x = first
        for block in self.body:
            x = block(x)
        x = first + self.conv_body(x)
        for number in range(1, self.config.num_doublings + 1):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = functional.leaky_relu(getattr(self, f"conv_up{number}")(x), 0.2)
        return self.conv_last(functional.leaky_relu(self.conv_hr(x), 0.2))
