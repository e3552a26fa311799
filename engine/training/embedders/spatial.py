"""A picture (a mask, a low-resolution image, a segmentation) scaled to the latent's size and joined to its channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.nn.layers import Conv2d
from engine.training.context import BuildContext
from engine.training.embedders.embedder import Embedder, read_key, without_dropped
from engine.training.networks.initialisation import initialise

__all__ = ["SpatialEmbedder", "SpatialRecipe"]


@dataclass(frozen=True, slots=True)
class SpatialRecipe:
    """Scale `num_stages` times by `multiplier`, then map `in_channels` to `out_channels` if the latter is given."""

    kind: Literal["spatial"]
    input_key: str
    multiplier: float = 0.5
    num_stages: int = 1
    method: Literal["nearest", "bilinear", "bicubic", "area"] = "bilinear"
    in_channels: int = 3
    out_channels: int | None = None
    ucg_rate: float = 0.0
    is_trainable: bool = True

    def build(self, context: BuildContext, part: str) -> SpatialEmbedder:
        """The embedder with its first weights, if it has any."""
        return SpatialEmbedder(self, context.seed, part)


class SpatialEmbedder(Embedder):
    """Source: Rombach et al. 2022, arXiv:2112.10752, spatial conditioning. Keys: channel_mapper.weight."""

    def __init__(self, recipe: SpatialRecipe, seed: int, part: str) -> None:
        super().__init__(recipe.input_key, recipe.ucg_rate, recipe.is_trainable)
        self.recipe = recipe
        if recipe.out_channels is not None:
            self.channel_mapper = Conv2d(recipe.in_channels, recipe.out_channels, 1, bias=False)
            initialise(self, seed, part)

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """Channels [b c h w]."""
        x = read_key(batch, self.input_key).to(device, torch.float32, non_blocking=True)
        recipe = self.recipe
        for _ in range(recipe.num_stages):
            x = functional.interpolate(x, scale_factor=recipe.multiplier, mode=recipe.method)
        if recipe.out_channels is not None:
            x = self.channel_mapper(x)
        return (without_dropped(x, dropped),)
