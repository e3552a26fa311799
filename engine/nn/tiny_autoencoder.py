"""The tiny autoencoder (TAESD): a few convolutions a block, for previews and quick decoding.

Source: the published taesd_encoder/taesd_decoder layout; the layer numbers are those of its two sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Conv2d

__all__ = ["TinyDecoder", "TinyEncoder"]

_PUBLISHED_WIDTH = 64


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            Conv2d(width, width, 3, padding=1), nn.ReLU(),
            Conv2d(width, width, 3, padding=1), nn.ReLU(),
            Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x) + x)


class _Bound(nn.Module):
    """Keeps latents within ±3 smoothly."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class TinyEncoder(nn.Sequential):
    """Pixels [b 3 h w] in [0, 1] → latent [b c h/8 w/8] at network scale."""

    def __init__(self, latent_channels: int, width: int = _PUBLISHED_WIDTH) -> None:
        layers: list[nn.Module] = [Conv2d(3, width, 3, padding=1), _Block(width)]
        for _ in range(3):
            layers.append(Conv2d(width, width, 3, padding=1, stride=2, bias=False))
            layers.extend(_Block(width) for _ in range(3))
        super().__init__(*layers, Conv2d(width, latent_channels, 3, padding=1))


class TinyDecoder(nn.Sequential):
    """Latent [b c h w] at network scale → pixels [b 3 8h 8w] in [0, 1], not clamped."""

    def __init__(self, latent_channels: int, width: int = _PUBLISHED_WIDTH) -> None:
        layers: list[nn.Module] = [_Bound(), Conv2d(latent_channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers.extend(_Block(width) for _ in range(3))
            layers.append(nn.Upsample(scale_factor=2.0))
            layers.append(Conv2d(width, width, 3, padding=1, bias=False))
        super().__init__(*layers, _Block(width), Conv2d(width, 3, 3, padding=1))
