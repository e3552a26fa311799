"""A grey picture as a latent: what an inpainting network is shown where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.diffusion.latent_format import LatentFormat
from engine.families.autoencoder.forms import KlForm
from engine.families.autoencoder.handle import NetworkAutoencoder

__all__ = ["EncodedGrey", "GreyPicture", "KnownGrey", "grey_picture"]

_PUBLISHED_UNET_CHANNELS = 320
_PUBLISHED_MULTS = (1, 2, 4, 4)
_PUBLISHED_AUTOENCODER_CHANNELS = 128


class GreyPicture(Protocol):
    """Grey in the latents of one model."""

    def latent(self, height: int, width: int) -> Tensor:
        """[1 c h w] at network scale, for so many cells."""
        ...


@dataclass(frozen=True, slots=True)
class KnownGrey:
    """The same numbers in every cell."""

    channels: tuple[float, ...]

    def latent(self, height: int, width: int) -> Tensor:
        """[1 c h w] at network scale."""
        return torch.tensor(self.channels).view(1, -1, 1, 1).expand(1, len(self.channels), height, width)


@dataclass(frozen=True, slots=True)
class EncodedGrey:
    """What a model's own autoencoder makes of a grey picture."""

    autoencoder: NetworkAutoencoder
    latent_format: LatentFormat

    def latent(self, height: int, width: int) -> Tensor:
        """[1 c h w] at network scale."""
        cell_px = self.autoencoder.downscale
        grey = torch.full((1, height * cell_px, width * cell_px, 3), 0.5)
        return self.latent_format.to_network(self.autoencoder.encode(grey))


def grey_picture(
    latent_format: LatentFormat, unet_channels: int, autoencoder: NetworkAutoencoder | None
) -> GreyPicture | None:
    """Grey for a U-Net of this width, from the autoencoder of its file if there is one; None when nothing tells.

    Fine-tuned autoencoders of the published sizes keep the published latents, for which the numbers are known; a
    network of another width was trained on latents of its own.
    """
    if autoencoder is None:
        is_published = unet_channels == _PUBLISHED_UNET_CHANNELS
    else:
        form = autoencoder.form
        is_published = isinstance(form, KlForm) and (
            (form.config.channels, form.config.channel_mult) == (_PUBLISHED_AUTOENCODER_CHANNELS, _PUBLISHED_MULTS)
        )
    if latent_format.grey and is_published:
        return KnownGrey(latent_format.grey)
    return None if autoencoder is None else EncodedGrey(autoencoder, latent_format)
