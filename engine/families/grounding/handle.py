"""The handle behind the GLIGEN socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.core.errors import NodeError
from engine.diffusion.controls import Phrase
from engine.families.steering import unet_sizes
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.grounding import GroundedUNet, PositionNetConfig
from engine.nn.unet import UNetConfig
from engine.weights.composed import ComposedWeights
from engine.weights.remap import WeightReader

__all__ = ["MAX_PHRASES", "BoundGrounding", "NetworkGrounding"]

MAX_PHRASES = 30
"""Places for objects; the network was trained with so many, most of them empty."""


@dataclass(frozen=True, slots=True)
class NetworkGrounding:
    """A GLIGEN file: the network that makes objects of phrases, and gated attention for the blocks of a U-Net.

    fusers: transformer block → (width of its cells, width of the objects). gates: weights of all of them, by the names
    they have in the U-Net.
    """

    config: PositionNetConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    fusers: Mapping[str, tuple[int, int]] = field(repr=False)
    gates: WeightReader = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    def bound_to(self, denoiser: Any) -> BoundGrounding:
        """The network on this model. Raises NodeError for a model without such blocks."""
        model = unet_sizes(denoiser, "GLIGEN network")
        specs = denoiser.source.weights.specs
        for block, (width, _) in self.fusers.items():
            norm = specs.get(f"{block}.norm1.weight")
            if norm is None or norm.shape != (width,):
                raise NodeError(
                    f"This GLIGEN file adds to {block} of width {width}, which the model does not have.",
                    code="grounding_mismatch",
                    hint="Use a model of the family it was made for, Stable Diffusion 1.",
                )
        return BoundGrounding(self, model)

    def objects(self, phrases: Sequence[Phrase], height: int, width: int) -> Tensor:
        """The objects [1 n d] of phrases in a latent of this height and width; empty places behind them.

        Raises NodeError for too many phrases, or text of another width.
        """
        if len(phrases) > MAX_PHRASES:
            raise NodeError(
                f"There are {len(phrases)} phrases at places; GLIGEN takes {MAX_PHRASES}.",
                code="too_many_phrases",
                hint="Take some of the GLIGENTextBoxApply nodes out.",
            )
        texts = torch.zeros(1, MAX_PHRASES, self.config.text_width)
        boxes, is_filled = torch.zeros(1, MAX_PHRASES, 4), torch.zeros(1, MAX_PHRASES, dtype=torch.bool)
        for place, phrase in enumerate(phrases):
            pooled = phrase.pooled
            if pooled is None or pooled.shape[-1] != self.config.text_width:
                found = "none" if pooled is None else str(list(pooled.shape))
                raise NodeError(
                    f"GLIGEN takes pooled text of width {self.config.text_width}, got {found}.",
                    code="pooled_mismatch",
                    hint="Encode the phrase with the CLIP of a Stable Diffusion 1 checkpoint.",
                )
            texts[0, place] = pooled.reshape(-1, pooled.shape[-1])[0]
            right, bottom = phrase.left + phrase.width, phrase.top + phrase.height
            edges = (phrase.left / width, phrase.top / height, right / width, bottom / height)
            boxes[0, place], is_filled[0, place] = torch.tensor(edges), True
        return self._run(texts, boxes, is_filled)

    def _run(self, texts: Tensor, boxes: Tensor, is_filled: Tensor) -> Tensor:
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)

        def forward(module: nn.Module) -> Tensor:
            return module(texts.to(device, dtype), boxes.to(device), is_filled.to(device)).float()

        return self.host.run(self.source, forward)


@dataclass(frozen=True, slots=True)
class BoundGrounding:
    """A GLIGEN network on a model of these sizes."""

    grounding: NetworkGrounding
    model: UNetConfig

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return self.grounding.source.identity

    def objects(self, phrases: Sequence[Phrase], height: int, width: int) -> Tensor:
        """The objects [1 n d] of phrases in a latent of this height and width."""
        return self.grounding.objects(phrases, height, width)

    def extended(self, source: NetworkSource) -> NetworkSource:
        """The model's network with the gated attention in its blocks."""
        config, gates = self.model, self.grounding.gates
        widths = {block: object_width for block, (_, object_width) in self.grounding.fusers.items()}

        def build() -> nn.Module:
            return GroundedUNet(config, widths)

        weights = ComposedWeights(((source.weights, source.weights.specs), (gates, gates.specs)))
        identity = digest_value([source.identity, self.identity])
        return replace(source, identity=identity, build=build, weights=weights)
