"""Training all weights of a loaded checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from engine.memory.network import NetworkSource
from engine.training.adapters.base_model import BaseModel, BaseModelRecipe, LossRecipe, assemble
from engine.training.adapters.checkpoint_export import LearnedWeights
from engine.training.adapters.direct_host import text_encoders
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule

__all__ = ["FineTuneRecipe"]


@dataclass(frozen=True, slots=True)
class FineTuneRecipe:
    """text_encoder: train it with the network. ucg_rate: part of the examples trained with the empty text.

    Weights are float32 while they are trained, whatever `base.held` says of those that are not.
    """

    kind: Literal["fine_tune"]
    base: BaseModelRecipe
    text_encoder: bool = False
    ucg_rate: float = 0.1
    loss: LossRecipe = field(default_factory=LossRecipe)

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module. Raises CheckpointError, ConfigError."""
        base = self.base.open(context)
        network = base.network(is_trained=True)
        texts = base.texts(is_trained=self.text_encoder)
        return assemble(
            base,
            network,
            texts,
            self.loss,
            context,
            learned=LearnedWeights(base.path, self._trained(base, network, texts)),
            ucg_rate=self.ucg_rate,
            trains_texts=self.text_encoder,
        )

    def _trained(
        self, base: BaseModel, network: nn.Module, texts: Mapping[str, nn.Module]
    ) -> tuple[tuple[NetworkSource, nn.Module], ...]:
        trained = [(base.model.source, network)]
        if self.text_encoder:
            sources = [encoder.source for encoder in text_encoders(base.clip)]
            trained += [(source, texts[source.identity]) for source in sources]
        return tuple(trained)
