"""The VAE handle without a network, for models that denoise pixels: a latent is the picture itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.core.digest import digest_bytes
from engine.core.errors import NodeError

__all__ = ["PixelSpaceAutoencoder"]


@dataclass(frozen=True, slots=True)
class PixelSpaceAutoencoder:
    """Images float32 [b h w 3] in [0, 1] ↔ latents float32 [b 3 h w] in [-1, 1], one pixel a cell."""

    num_latent_channels: int = 3
    downscale: int = 1

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return "pixel_space"

    @property
    def content_digest(self) -> str:
        """Stands for the file there is not."""
        return digest_bytes(self.identity.encode())

    def decode(self, latent: Tensor) -> Tensor:
        """Latent → image, clamped. Raises NodeError for a latent that is not a picture."""
        if latent.ndim != 4 or latent.shape[1] != self.num_latent_channels:
            raise NodeError(
                f"The pixel-space VAE decodes latents of 3 channels, got {list(latent.shape)}.",
                code="latent_mismatch",
                hint="Use the VAE of the model that made the latent.",
            )
        return ((latent.float().cpu() + 1) / 2).clamp(0, 1).movedim(1, 3).contiguous()

    def encode(self, image: Tensor) -> Tensor:
        """Image → latent; a fourth channel is ignored. Raises NodeError for what is no image."""
        if image.ndim != 4 or image.shape[3] < self.num_latent_channels:
            raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch")
        return (image[..., : self.num_latent_channels].float() * 2 - 1).movedim(3, 1).contiguous()

    def decode_tiled(self, latent: Tensor, *, tile: int, overlap: int) -> Tensor:
        """As `decode`: each pixel stands alone, so tiles change nothing."""
        return self.decode(latent)

    def encode_tiled(self, image: Tensor, *, tile: int, overlap: int) -> Tensor:
        """As `encode`."""
        return self.encode(image)
