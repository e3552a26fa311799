"""The VAE handle: pixels ↔ latents in one piece or in tiles, within the memory budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.core.errors import NodeError, OutOfMemory
from engine.families.autoencoder.tiling import blend_tiles
from engine.memory.network import NetworkHost, NetworkSource
from engine.weights.patched import PatchedWeights

__all__ = ["AutoencoderForm", "NetworkAutoencoder"]

_SMALLEST_TILE = 16


class AutoencoderForm(Protocol):
    """What is particular to a kind of autoencoder. Pixels are [b 3 h w] in [0, 1], latents at the sockets' scale."""

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        ...

    @property
    def downscale(self) -> int:
        """Pixels per latent cell."""
        ...

    def encode(self, module: nn.Module, pixels: Tensor) -> Tensor:
        """Pixels → latent, in the dtype of the pixels."""
        ...

    def decode(self, module: nn.Module, latent: Tensor) -> Tensor:
        """Latent → pixels, not clamped."""
        ...

    def activation_bytes(self, pixels: int, bytes_per_value: int) -> int:
        """Estimated peak memory for a picture of this many pixels, weights excluded."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkAutoencoder:
    """An autoencoder behind the VAE socket. Images are float32 [b h w 3] in [0, 1], latents float32 [b c h w]."""

    form: AutoencoderForm
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return self.source.identity

    @property
    def weights(self) -> PatchedWeights:
        """The network's weights."""
        return PatchedWeights(self.source.identity, self.source.weights)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def num_latent_channels(self) -> int:
        """Channels of a latent."""
        return self.form.latent_channels

    @property
    def downscale(self) -> int:
        """Pixels per latent cell."""
        return self.form.downscale

    def foresee(self) -> None:
        """It will be used soon: its weights may come (see `NetworkHost.foresee`)."""
        self.host.foresee(self.source)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent → image, on the CPU; in tiles when a picture does not fit the memory budget."""
        self._check_latent(latent)
        tile = self._tile_that_fits(latent.shape[2], latent.shape[3])
        if tile is None:
            try:
                return _to_image(torch.cat([self._decode(latent[i : i + 1]) for i in range(len(latent))]))
            except OutOfMemory:
                tile = max(_SMALLEST_TILE, max(latent.shape[2:]) // 2)
        return _to_image(self._shrinking(tile, lambda size: self._decode_tiles(latent, (size, size), size // 4)))

    def encode(self, image: Tensor) -> Tensor:
        """Image → latent (the mean of its distribution), on the CPU; cropped centrally to whole latent cells."""
        pixels = self._to_pixels(image)
        tile = self._tile_that_fits(pixels.shape[2] // self.downscale, pixels.shape[3] // self.downscale)
        if tile is None:
            try:
                return torch.cat([self._encode(pixels[i : i + 1]) for i in range(len(pixels))])
            except OutOfMemory:
                tile = max(_SMALLEST_TILE, max(pixels.shape[2:]) // self.downscale // 2)
        scale = self.downscale
        return self._shrinking(
            tile, lambda size: self._encode_tiles(pixels, (size * scale, size * scale), size * scale // 4)
        )

    def decode_tiled(self, latent: Tensor, *, tile: int, overlap: int) -> Tensor:
        """As `decode` in blended tiles; sizes in latent cells. Averages three shapes of tile to hide their seams."""
        self._check_latent(latent)
        shapes = ((tile * 2, tile // 2), (tile // 2, tile * 2), (tile, tile))
        parts = [self._decode_tiles(latent, shape, overlap) for shape in shapes]
        return _to_image(torch.stack(parts).mean(dim=0))

    def encode_tiled(self, image: Tensor, *, tile: int, overlap: int) -> Tensor:
        """As `encode` in blended tiles; sizes in pixels. Averages three shapes of tile."""
        pixels = self._to_pixels(image)
        shapes = ((tile, tile), (tile * 2, tile // 2), (tile // 2, tile * 2))
        return torch.stack([self._encode_tiles(pixels, shape, overlap) for shape in shapes]).mean(dim=0)

    def _decode_tiles(self, latent: Tensor, tile: tuple[int, int], overlap: int) -> Tensor:
        scale = (self.downscale, 1)
        return blend_tiles(self._decode, latent, tile=tile, overlap=overlap, scale=scale, out_channels=3)

    def _encode_tiles(self, pixels: Tensor, tile: tuple[int, int], overlap: int) -> Tensor:
        scale = (1, self.downscale)
        height, width = (max(1, size // self.downscale) * self.downscale for size in tile)
        shared = overlap // self.downscale * self.downscale
        channels = self.num_latent_channels
        return blend_tiles(
            self._encode, pixels, tile=(height, width), overlap=shared, scale=scale, out_channels=channels
        )

    def _shrinking(self, tile: int, run: Callable[[int], Tensor]) -> Tensor:
        """Run with tiles of this size, halving it while memory does not suffice."""
        while True:
            self.host.ledger.note("tiled", self.source.title, 0, f"tiles of {tile} latent cells")
            try:
                return run(tile)
            except OutOfMemory:
                if tile <= _SMALLEST_TILE:
                    raise
                tile = max(_SMALLEST_TILE, tile // 2)

    def _tile_that_fits(self, height: int, width: int) -> int | None:
        """None when a latent of this size fits the budget whole, else the edge of a tile that does."""
        size = self.host.compute_dtype(self.source).itemsize
        cell = self.form.activation_bytes(self.downscale**2, size)
        if cell * height * width <= self.host.budget_bytes:
            return None
        edge = int((self.host.budget_bytes / 2 / cell) ** 0.5)
        return max(_SMALLEST_TILE, min(edge, max(height, width)))

    def _run(self, x: Tensor, num_pixels: int, call: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """One forward; again in a wider precision when values left the range of the first, and so from then on."""
        while True:
            answer = self._run_once(x, num_pixels, call)
            if bool(answer.isfinite().all()):
                return answer
            if not bool(x.isfinite().all()):
                raise NodeError(
                    f"The VAE was given values that are no numbers to {call.__name__}.",
                    code="not_finite",
                    hint="What made them overflowed: compute the model in a wider precision, for instance --bf16-unet.",
                )
            if not self.host.widen(self.source):
                raise NodeError(
                    f"The {self.source.title} gives values that are no numbers, in single precision too.",
                    code="not_finite",
                    hint="The file is damaged, or the latent is of another kind of model. Choose another VAE.",
                )

    def _run_once(self, x: Tensor, num_pixels: int, call: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        dtype = self.host.compute_dtype(self.source)
        moved = x.to(self.host.device.torch, dtype)
        shape = (call.__name__, *x.shape[2:])
        estimate = self.form.activation_bytes(num_pixels, dtype.itemsize)
        needed = self.host.activation_bytes(self.source, shape, 1, estimate)
        answer = self.host.run(self.source, lambda module: call(module, moved), activation_bytes=needed, shape=shape)
        return answer.float().cpu()

    def _decode(self, latent: Tensor) -> Tensor:
        """[1 c h w] → pixels [1 3 H W] in [0, 1]."""
        num_pixels = latent.shape[2] * latent.shape[3] * self.downscale**2
        return self._run(latent, num_pixels, self.form.decode).clamp(0, 1)

    def _encode(self, pixels: Tensor) -> Tensor:
        """[1 3 H W] in [0, 1] → latent [1 c h w]."""
        return self._run(pixels, pixels.shape[2] * pixels.shape[3], self.form.encode)

    def _check_latent(self, latent: Tensor) -> None:
        if latent.ndim != 4 or latent.shape[1] != self.num_latent_channels:
            raise NodeError(
                f"This VAE decodes latents of {self.num_latent_channels} channels, got {list(latent.shape)}.",
                code="latent_mismatch",
                hint="Use the VAE of the model that made the latent.",
            )

    def _to_pixels(self, image: Tensor) -> Tensor:
        """[b h w c] → [b 3 H W], cropped centrally to whole latent cells."""
        if image.ndim != 4 or image.shape[3] < 3:
            raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch")
        height, width = (size // self.downscale * self.downscale for size in image.shape[1:3])
        if not height or not width:
            raise NodeError(
                f"An image must be at least {self.downscale} pixels wide and high, got {list(image.shape[1:3])}.",
                code="image_mismatch",
            )
        top, left = ((size % self.downscale) // 2 for size in image.shape[1:3])
        return image[:, top : top + height, left : left + width, :3].movedim(3, 1).float()


def _to_image(pixels: Tensor) -> Tensor:
    """[b 3 h w] → [b h w 3]."""
    return pixels.movedim(1, 3).contiguous()
