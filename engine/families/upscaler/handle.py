"""The handle behind the UPSCALE_MODEL socket: enlarges pictures tile by tile, within the memory budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import NodeError, OutOfMemory
from engine.families.autoencoder.tiling import blend_tiles, count_tiles
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.upscaler import CompactUpscalerConfig, DenseUpscalerConfig

__all__ = ["NetworkUpscaler"]

_TILE_PX, _SMALLEST_TILE_PX, _OVERLAP_PX = 512, 128, 32
_WIDTHS_HELD = 6
"""Feature maps of full width that a forward holds at once, for planning."""


@dataclass(frozen=True, slots=True)
class NetworkUpscaler:
    """Enlarges images float32 [b h w 3] in [0, 1] by `scale`."""

    config: CompactUpscalerConfig | DenseUpscalerConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return self.source.identity

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def scale(self) -> int:
        """Enlargement of height and width."""
        return self.config.scale

    def upscale(self, image: Tensor, on_tile: Callable[[int, int], None] | None = None) -> Tensor:
        """Image [b h w 3] → [b sh sw 3] on the CPU, in tiles of 512 pixels; smaller ones when memory is short.

        Args:
            image: float32 in [0, 1]; a fourth channel is ignored.
            on_tile: told (tiles done, tiles in all) after each; an exception from it ends the work.

        Raises NodeError for a picture without three channels, OutOfMemory when not even a small tile fits.
        """
        if image.ndim != 4 or image.shape[3] < self.config.pixel_channels:
            raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch")
        pixels = image[..., : self.config.pixel_channels].movedim(3, 1).float()
        tile = _TILE_PX
        while True:
            try:
                return self._in_tiles(pixels, tile, on_tile).clamp(0, 1).movedim(1, 3).contiguous()
            except OutOfMemory:
                if tile == _SMALLEST_TILE_PX:
                    raise
                tile //= 2

    def _in_tiles(self, pixels: Tensor, tile: int, on_tile: Callable[[int, int], None] | None) -> Tensor:
        total = pixels.shape[0] * count_tiles(pixels.shape[2:], (tile, tile), _OVERLAP_PX)
        done = 0

        def enlarge(part: Tensor) -> Tensor:
            nonlocal done
            made = self._enlarge(part)
            done += 1
            if on_tile is not None:
                on_tile(done, total)
            return made

        channels = self.config.pixel_channels
        return blend_tiles(
            enlarge, pixels, tile=(tile, tile), overlap=_OVERLAP_PX, scale=(self.scale, 1), out_channels=channels
        )

    def _enlarge(self, part: Tensor) -> Tensor:
        """One tile [1 3 h w], its sides padded to whole folds."""
        height, width = part.shape[2:]
        fold = self.config.fold if isinstance(self.config, DenseUpscalerConfig) else 1
        padded = functional.pad(part, (0, -width % fold, 0, -height % fold), mode="replicate")
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)

        def forward(module: nn.Module) -> Tensor:
            return module(padded.to(device, dtype)).float().cpu()

        shape = tuple(padded.shape[2:])
        needed = self.host.activation_bytes(self.source, shape, 1, self._activation_bytes(padded, dtype))
        made = self.host.run(self.source, forward, activation_bytes=needed, shape=shape)
        return made[:, :, : height * self.scale, : width * self.scale]

    def _activation_bytes(self, part: Tensor, dtype: torch.dtype) -> int:
        """The dense form's widest maps are at the enlarged size, the compact form's at the small one."""
        is_dense = isinstance(self.config, DenseUpscalerConfig)
        pixels = part.shape[2] * part.shape[3] * (self.scale**2 if is_dense else 1)
        return _WIDTHS_HELD * self.config.channels * pixels * dtype.itemsize
