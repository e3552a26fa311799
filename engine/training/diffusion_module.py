"""A diffusion model under training: network, conditioner and first stage, and the loss of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.data.collate import Batch
from engine.training.diffusion_recipe import DiffusionRecipe
from engine.training.loss import diffusion_loss
from engine.training.randomness import StepChance

__all__ = ["BuildsModule", "DiffusionModule", "build_diffusion_module"]


class DiffusionModule(nn.Module):
    """Keys: network.…, conditioner.embedders.N.…, first_stage.…, places.…

    seed: of everything random about a step. measurements: parts of the last loss, for logs.
    """

    def __init__(self, recipe: DiffusionRecipe, context: BuildContext) -> None:
        super().__init__()
        self.recipe = recipe
        self.memory_format: torch.memory_format | None = None
        self.is_compiled = False
        self.seed = context.seed
        self.parameterization = recipe.parameterization.build()
        self.network = recipe.network.build(context)
        self.conditioner = recipe.conditioner.build(context)
        self.first_stage = recipe.first_stage.build(context)
        self.places = None if recipe.places is None else recipe.places.build(self.network, context)
        self.measurements: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """What is learned, by name; the frozen parts come from their files again."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Let torch compile the parts that are learned; names of weights stay."""
        self.is_compiled = True
        self.network.compile(*arguments, **options)
        for embedder in self.conditioner.parts:
            if embedder.is_trainable and (text := getattr(embedder, "transformer", None)) is not None:
                text.compile(*arguments, **options)

    def prepare(self, batch: Batch) -> Batch:
        """The batch with texts as tokens: work for the host that needs no weights, done ahead of the step."""
        text = self.conditioner.text
        if text is None or text.input_key not in batch or f"{text.input_key}_tokens" in batch:
            return batch
        tokens = text.tokenize(batch[text.input_key])
        # From page-locked memory they are copied without waiting for the device.
        return {**batch, f"{text.input_key}_tokens": tokens.pin_memory() if self.device.type == "cuda" else tokens}

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """The mean loss of a batch that is a part of a step over `num_step_examples` examples."""
        latent = batch.get("latent")
        source = batch.get(self.recipe.input_key) if latent is None else latent
        if source is None:
            raise ConfigError(
                f"The data gives neither 'latent' nor {self.recipe.input_key!r}.",
                hint=f"Set model.input_key to one of {sorted(key for key in batch if key != 'first_draw')}.",
            )
        chance = StepChance.of_batch(self.seed, batch["first_draw"], len(source), num_step_examples, source.device)
        if latent is None:
            with torch.autocast(source.device.type, enabled=False):
                latent = self.first_stage.encode(source.float(), chance)
        inputs = self.conditioner(batch, chance)
        loss = diffusion_loss(
            self.predict,
            self.parameterization,
            latent.float(),
            inputs,
            chance,
            self.recipe.sigma_sampling,
            self.recipe.weighting,
            self.recipe.offset_noise,
        )
        if self.places is None or self.recipe.places is None:
            return loss
        reading = self.places.loss(batch)
        self.measurements = {"diffusion": loss.detach(), "places": reading.detach()}
        return loss + self.recipe.places.weight * reading

    def predict(self, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        """The network's raw output; an `engine.diffusion.parameterization.Network`."""
        if self.memory_format is not None and x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        return self.recipe.network.call(self.network, x, c_noise, inputs)

    def use_channels_last(self) -> None:
        """Lay out kernels and feature maps with the channels last, which tensor cores prefer."""
        self.memory_format = torch.channels_last
        self.network.to(memory_format=torch.channels_last)


class BuildsModule(Protocol):
    """A recipe that makes its module itself, out of a model that is there already (`engine.training.adapters`)."""

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module with its first weights, on the CPU."""
        ...


def build_diffusion_module(recipe: DiffusionRecipe | BuildsModule, context: BuildContext) -> DiffusionModule:
    """The module with its first weights, on the CPU."""
    return DiffusionModule(recipe, context) if isinstance(recipe, DiffusionRecipe) else recipe.build(context)
