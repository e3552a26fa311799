"""How a family's latents relate to its network: scale, shift, channel count, size ratio and a cheap look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LatentFormat"]


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """Facts about one family's latents.

    name: short name, e.g. "sd1".
    num_channels: latent channels.
    downscale: edge in pixels of the image square one latent cell stands for.
    scale, shift: network scale = (autoencoder scale - shift) · scale.
    rgb_factors: [channels][3] linear map from network-scale latents to colours in [-1, 1]; empty if none is known.
    rgb_bias: added after the map.
    grey: a grey picture at network scale, by channel; empty where only an autoencoder can tell.
    means, deviations: of each channel; if given, network scale = (autoencoder scale - mean) / deviation · scale.
    """

    name: str
    num_channels: int
    downscale: int
    scale: float
    shift: float = 0.0
    rgb_factors: tuple[tuple[float, float, float], ...] = ()
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    grey: tuple[float, ...] = ()

    def to_network(self, latent: Tensor) -> Tensor:
        """From the scale of the autoencoder (what LATENT sockets carry) to the scale the network was trained on."""
        if self.means:
            latent = (latent - _by_channel(self.means, latent)) / _by_channel(self.deviations, latent)
        return (latent - self.shift) * self.scale

    def from_network(self, latent: Tensor) -> Tensor:
        """The inverse of `to_network`."""
        latent = latent / self.scale + self.shift
        if self.means:
            latent = latent * _by_channel(self.deviations, latent) + _by_channel(self.means, latent)
        return latent

    def standardised(
        self, name: str, scale: float, means: tuple[float, ...], deviations: tuple[float, ...]
    ) -> LatentFormat:
        """The same autoencoder's latents for a network trained on them with each channel's mean and deviation."""
        # A preview's map is stated for this format's scale: undo the other's before it.
        factors = tuple(
            (red * step, green * step, blue * step)
            for (red, green, blue), step in zip(
                self.rgb_factors, (deviation / scale * self.scale for deviation in deviations), strict=True
            )
        )
        red, green, blue = (
            bias + sum(row[colour] * mean * self.scale for row, mean in zip(self.rgb_factors, means, strict=True))
            for colour, bias in enumerate(self.rgb_bias)
        )
        return LatentFormat(
            name, self.num_channels, self.downscale, scale, 0.0, factors, (red, green, blue), means, deviations
        )

    def preview(self, latent: Tensor) -> Tensor | None:
        """A rough image [b h w 3] in [0, 1], float32 on the CPU, of a network-scale latent; None without a map."""
        if not self.rgb_factors:
            return None
        factors = latent.new_tensor(self.rgb_factors)
        colours = torch.einsum("bchw,cr->bhwr", latent, factors) + latent.new_tensor(self.rgb_bias)
        return colours.add(1).div(2).clamp(0, 1).float().cpu()

    def with_channels(self, latent: Tensor) -> Tensor:
        """An empty latent widened to this family's channel count; any other latent unchanged.

        Empty latents are made by a node that does not know the family, so they come with four channels.
        """
        if latent.shape[1] == self.num_channels or torch.count_nonzero(latent):
            return latent
        return latent.new_zeros(_replace(latent.shape, 1, self.num_channels))


def _replace(shape: Sequence[int], axis: int, value: int) -> list[int]:
    sizes = list(shape)
    sizes[axis] = value
    return sizes


def _by_channel(numbers: Sequence[float], latent: Tensor) -> Tensor:
    """One number for each channel of [b c h w] or [b c t h w]."""
    return latent.new_tensor(numbers).view(1, -1, *(1,) * (latent.ndim - 2))
