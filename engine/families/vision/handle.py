"""The handle behind the CLIP_VISION socket: pictures as CLIP sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.core.errors import NodeError
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.vision_transformer import VisionConfig, VisionStates

__all__ = ["NetworkImageEncoder", "PictureEncoding", "clip_pixels"]

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures CLIP was trained on. Source: Radford et al. 2021, the published preprocessing."""
_WIDTHS_HELD = 12
"""Token maps of the network's width that a layer holds at once, for planning."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureEncoding:
    """CLIP_VISION_OUTPUT: float32 on the CPU, by the names of the transformers library, also as `output["name"]`.

    last_hidden_state, penultimate_hidden_states [b n d]: of the last two layers, not normed. image_embeds [b k]: one
    vector a picture, projected.
    """

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor

    def __getitem__(self, name: str) -> Tensor:
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class NetworkImageEncoder:
    """A CLIP vision transformer."""

    config: VisionConfig
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

    def encode(self, image: Tensor, crop: Literal["center", "none"] = "center") -> PictureEncoding:
        """Pictures [b h w c] in [0, 1], scaled to the network's square: cut to it, or without `crop` squeezed into it.

        Raises NodeError for a picture without three channels.
        """
        if image.ndim != 4 or image.shape[3] < 3:
            raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch")
        pixels = clip_pixels(image, self.config.image_px, crops=crop == "center")
        parts = [self._run(pixels[index : index + 1]) for index in range(len(pixels))]
        return PictureEncoding(
            torch.cat([part.last for part in parts]),
            torch.cat([part.penultimate for part in parts]),
            torch.cat([part.embedding for part in parts]),
        )

    def encode_image(self, image: Tensor, crop: bool = True) -> PictureEncoding:
        """`encode` as node packs call it."""
        return self.encode(image, "center" if crop else "none")

    def _run(self, pixels: Tensor) -> VisionStates:
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)
        moved = pixels.to(device, dtype)

        def forward(module: Any) -> VisionStates:
            states = module(moved)
            return VisionStates(*(getattr(states, name).float().cpu() for name in VisionStates.__slots__))

        needed = self.config.num_tokens * self.config.width * _WIDTHS_HELD * dtype.itemsize
        return self.host.run(self.source, forward, activation_bytes=needed)


def clip_pixels(image: Tensor, edge_px: int, *, crops: bool = True) -> Tensor:
    """Pictures [b h w c] in [0, 1] → [b 3 s s] as CLIP wants them: bicubic, in 256 steps, normalised."""
    pixels = image[..., :3].movedim(3, 1).float()
    height, width = pixels.shape[2:]
    if (height, width) != (edge_px, edge_px):
        scale = edge_px / min(height, width)
        size = (round(height * scale), round(width * scale)) if crops else (edge_px, edge_px)
        pixels = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)
        top, left = ((length - edge_px) // 2 for length in pixels.shape[2:])
        pixels = pixels[:, :, top : top + edge_px, left : left + edge_px]
    pixels = (pixels * 255.0).clamp(0, 255).round() / 255.0
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _DEVIATION))
    return (pixels - mean) / deviation
