"""A second task for a U-Net under training: to tell at every place what is there.

The squared error of a small object's pixels is small, so a network learns late which things a text asks for and where
the noise leaves room for them. A linear map of inner features that must name kind and colour at each place teaches it
early; the map is not part of the finished model. Source of the idea, with another network's features as targets: Yu et
al. 2024, "Representation alignment for generation", arXiv:2410.06940.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.unet import UNet
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.networks.initialisation import initialise

__all__ = ["PlaceReading", "PlaceReadingRecipe"]


@dataclass(frozen=True, slots=True)
class PlaceReadingRecipe:
    """block: number of the output block whose features are read. weight: of its loss beside the diffusion loss.

    num_channels: things to tell, the channels of the data's map. input_key: of that map, uint8 [channels h w].
    """

    block: int
    num_channels: int
    weight: float = 0.5
    input_key: str = "places"

    def build(self, network: nn.Module, context: BuildContext) -> PlaceReading:
        """The reading, watching the network from now on. Raises ConfigError when it has no such block."""
        if not isinstance(network, UNet) or not 0 <= self.block < len(network.output_blocks):
            raise ConfigError("Places are read from an output block of a U-Net.", hint="Change model.places.block.")
        return PlaceReading(self, network, context)


class PlaceReading(nn.Module):
    """Keys: head.…"""

    def __init__(self, recipe: PlaceReadingRecipe, network: UNet, context: BuildContext) -> None:
        super().__init__()
        self.recipe = recipe
        config = network.config
        level = len(config.channel_mult) - 1 - recipe.block // (config.num_res_blocks + 1)
        self.head = nn.Conv2d(config.model_channels * config.channel_mult[level], recipe.num_channels, 1)
        initialise(self, context.seed, "places")
        self._seen: list[Tensor] = []
        network.output_blocks[recipe.block].register_forward_hook(self._see)

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy for the network's last forward, in nats a place. Raises ConfigError without a map."""
        (features,) = self._seen
        self._seen.clear()
        wanted = batch.get(self.recipe.input_key)
        if not isinstance(wanted, Tensor) or wanted.ndim != 4 or wanted.shape[1] != self.recipe.num_channels:
            raise ConfigError(
                f"The data gives no map of {self.recipe.num_channels} channels as {self.recipe.input_key!r}.",
                hint="Leave out model.places, or train on postcards.",
            )
        share = functional.adaptive_avg_pool2d(wanted.to(features.device).float() / 255, features.shape[2:])
        told = self.head(features).float()
        return functional.binary_cross_entropy_with_logits(told, share, reduction="none").sum(dim=1).mean()

    def _see(self, block: nn.Module, inputs: Any, features: Tensor) -> None:
        if torch.is_grad_enabled():
            # Only the last forward counts: one that nobody asked about leaves nothing behind.
            self._seen[:] = [features]
