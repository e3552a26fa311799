"""A look at unfinished latents through the decoder of a tiny autoencoder; its encoder is not needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import shapes_of
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.tiny_autoencoder import TinyDecoder
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import read_part

__all__ = ["PreviewDecoder", "open_preview_decoder"]

_MAX_CELLS = 64
"""Longest side of a latent that is decoded; larger ones are shrunk first, since previews are small."""

_CELL_PIXELS = 64
_WIDTHS_HELD = 4
"""Feature maps of full width at full resolution that a forward holds at once, for planning."""


@dataclass(frozen=True, slots=True)
class PreviewDecoder:
    """Latents at network scale → small pictures. `width`: channels of its layers, 64 in the published files."""

    latent_channels: int
    width: int
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)

    def picture(self, latent: Tensor) -> Tensor:
        """The first of latents [b c h w] as a picture [H W 3] in [0, 1], float32 on the CPU.

        Raises OutOfMemory when it does not fit beside what is loaded.
        """
        item = latent[:1].detach()
        longest = max(item.shape[2:])
        if longest > _MAX_CELLS:
            item = functional.interpolate(item.float(), scale_factor=_MAX_CELLS / longest, mode="area")
        dtype = self.host.compute_dtype(self.source)
        moved = item.to(self.host.device.torch, dtype)
        needed = moved.shape[2] * moved.shape[3] * _CELL_PIXELS * self.width * _WIDTHS_HELD * dtype.itemsize
        pixels = self.host.run(self.source, lambda module: module(moved), activation_bytes=needed)
        return pixels[0].float().clamp(0, 1).movedim(0, -1).cpu()


def open_preview_decoder(checkpoint: Checkpoint, host: NetworkHost) -> PreviewDecoder:
    """The decoder of a file of bare layer numbers, of any width. Raises CheckpointError."""
    first = checkpoint.shapes.get("1.weight", ())
    if len(first) != 4:
        raise CheckpointError(
            f"{checkpoint.path.name} is not the decoder of a tiny autoencoder.",
            code="unknown_autoencoder",
            hint="Previews are decoded by taesd_decoder, taesdxl_decoder and their like.",
        )
    width, channels = first[:2]

    def build() -> nn.Module:
        return TinyDecoder(channels, width)

    with torch.device("meta"):
        expected = shapes_of(build())
    reader = read_part(checkpoint, "", expected, what="tiny decoder")
    identity = digest_bytes(checkpoint.identity.encode(), b"preview")
    source = NetworkSource(identity, "vae", build, reader, file=checkpoint.path.name)
    return PreviewDecoder(channels, width, source, host)
