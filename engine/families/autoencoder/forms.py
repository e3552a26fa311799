"""The kinds of autoencoder: KL with its published scale, and the tiny one that works at network scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.tiny_autoencoder import TinyDecoder, TinyEncoder

__all__ = ["KlForm", "TinyAutoencoder", "TinyForm"]


@dataclass(frozen=True, slots=True)
class KlForm:
    """The autoencoder of latent diffusion; its latent is the mean of the posterior."""

    config: AutoencoderConfig

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.config.latent_channels

    @property
    def downscale(self) -> int:
        """Pixels per latent cell."""
        return self.config.downscale

    def build(self) -> nn.Module:
        """The network."""
        return Autoencoder(self.config)

    def encode(self, module: nn.Module, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] → latent."""
        return _kl(module).encode(pixels * 2 - 1)[:, : self.latent_channels]

    def decode(self, module: nn.Module, latent: Tensor) -> Tensor:
        """Latent → pixels, nominally in [0, 1]."""
        return _kl(module).decode(latent) / 2 + 0.5

    def activation_bytes(self, pixels: int, bytes_per_value: int) -> int:
        """The widest maps are at full resolution, where the second level's channels become the first's.

        Measured on the CPU: 3.6 to 4.4 KB a pixel for the published sizes, which this puts at 4 KB.
        """
        mults = self.config.channel_mult
        widest = self.config.channels * (2 * mults[0] + 3 * mults[min(1, len(mults) - 1)])
        return pixels * bytes_per_value * widest


class TinyAutoencoder(nn.Module):
    """Both halves of a tiny autoencoder."""

    def __init__(self, latent_channels: int, encoder_width: int = 64, decoder_width: int = 64) -> None:
        super().__init__()
        self.encoder = TinyEncoder(latent_channels, encoder_width)
        self.decoder = TinyDecoder(latent_channels, decoder_width)


@dataclass(frozen=True, slots=True)
class TinyForm:
    """The tiny autoencoder; `scale` and `shift` turn the sockets' latents into the network scale it was made for.

    encoder_width, decoder_width: channels of its halves, 64 in the published files.
    """

    latent_channels: int
    scale: float
    shift: float = 0.0
    downscale: int = 8
    encoder_width: int = 64
    decoder_width: int = 64

    def build(self) -> nn.Module:
        """The network."""
        return TinyAutoencoder(self.latent_channels, self.encoder_width, self.decoder_width)

    def encode(self, module: nn.Module, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] → latent."""
        return _tiny(module).encoder(pixels) / self.scale + self.shift

    def decode(self, module: nn.Module, latent: Tensor) -> Tensor:
        """Latent → pixels, nominally in [0, 1]."""
        return _tiny(module).decoder((latent - self.shift) * self.scale)

    def activation_bytes(self, pixels: int, bytes_per_value: int) -> int:
        """A few maps of full width at full resolution."""
        return pixels * bytes_per_value * max(self.encoder_width, self.decoder_width) * 4


def _kl(module: nn.Module) -> Autoencoder:
    return cast(Autoencoder, module)


def _tiny(module: nn.Module) -> TinyAutoencoder:
    return cast(TinyAutoencoder, module)
