"""What an inpainting network sees beside the noisy latent: where the hole is, and the picture around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.core.digest import digest_value
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.data.companion import Companion
from engine.training.data.latent_encoder import LatentEncoder
from engine.training.data.place import Place
from engine.training.embedders.embedder import Embedder, read_key
from engine.training.inpainting.masks import MaskRecipe, random_mask
from engine.training.postcards.chance import Chance

__all__ = ["HOLE_KEY", "ShownHole"]

HOLE_KEY = "hole"
"""Under which batches from a cache hold what was made of their pictures."""

Encode = Callable[[Tensor], Tensor]


class ShownHole(Embedder):
    """The hole of each example: from its cache, where an item has the same one at every draw, or else a new one.

    encode: pixels → latents in network scale, for pictures that come without a cache.
    """

    companion_key = HOLE_KEY

    def __init__(self, masks: MaskRecipe, input_key: str, seed: int, encode: Encode) -> None:
        super().__init__(input_key, 0.0, False)
        self._masks = masks
        self._seed = seed
        self._encode = encode

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """[b 5 h w]: the mask, 1 where the picture is to be made, and the latent of the picture with grey there.

        Raises ConfigError when the data has latents and no pictures.
        """
        if HOLE_KEY in batch:
            return (batch[HOLE_KEY].to(device, torch.float32, non_blocking=True),)
        if self.input_key not in batch and "latent" in batch:
            raise ConfigError(
                "Holes are cut out of pictures, and the data gives latents alone.",
                hint="Let data.latent_cache make the latents of a source of pictures.",
            )
        pixels = read_key(batch, self.input_key).to(device, torch.float32)
        first = int(batch.get("first_draw", 0))
        chances = [Chance("hole", self._seed, first + row) for row in range(len(pixels))]
        with torch.autocast(device.type, enabled=False):
            return (_shown(pixels, _masks(self._masks, chances, pixels), self._encode),)

    def companion(self, encoder: LatentEncoder) -> Companion:
        """Holes beside latents."""
        return _HoleCompanion(self._masks, encoder)


@dataclass(frozen=True, slots=True)
class _HoleCompanion:
    """One hole for each item. Fulfils `engine.training.data.companion.Companion`."""

    masks: MaskRecipe
    encoder: LatentEncoder = field(repr=False)

    @property
    def key(self) -> str:
        return HOLE_KEY

    @property
    def title(self) -> str:
        return "encoding pictures with holes"

    @property
    def digest(self) -> str:
        return digest_value(["hole", to_plain(self.masks)])

    def packed(self, images: Tensor, places: Sequence[Place]) -> np.ndarray:
        masks = _masks(self.masks, [Chance("hole", place.draw) for place in places], images)
        return _shown(images.float(), masks, self._mean).to("cpu", torch.float16).numpy()

    def _mean(self, pixels: Tensor) -> Tensor:
        moments = self.encoder.encode(pixels)
        return moments.chunk(2, dim=1)[0] if self.encoder.keeps_variance else moments


def _masks(recipe: MaskRecipe, chances: Sequence[Chance], pixels: Tensor) -> Tensor:
    """[b 1 h w] on the device of the pixels."""
    height, width = pixels.shape[2:]
    drawn = np.stack([random_mask(recipe, chance, height, width) for chance in chances])
    return torch.from_numpy(drawn)[:, None].to(pixels.device)


def _shown(pixels: Tensor, masks: Tensor, encode: Encode) -> Tensor:
    """As the family's form makes it of a mask and the encoded picture: the mask scaled and rounded, then the latent.

    Grey is 0 in [-1, 1]. Source: the published inpainting models (Rombach et al. 2022, arXiv:2112.10752, section 4.5).
    """
    latent = encode(pixels * (1.0 - masks)).float()
    cells = functional.interpolate(masks, size=latent.shape[2:], mode="bilinear").round()
    return torch.cat([cells.to(latent), latent], dim=1)
