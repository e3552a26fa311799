"""Training an inpainting network of nine channels from a text-to-image checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import nn

from engine.families.unet.form import UNetForm
from engine.training.adapters.base_model import BaseModelRecipe, LossRecipe, assemble
from engine.training.adapters.checkpoint_export import LearnedWeights
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.training.inpainting.hole import ShownHole
from engine.training.inpainting.masks import MaskRecipe

__all__ = ["InpaintingRecipe", "widened"]

_MASK_CHANNELS = 1


@dataclass(frozen=True, slots=True)
class InpaintingRecipe:
    """All weights of the checkpoint's network are learned, and its input has five channels more: mask and picture.

    masks: the holes it learns to fill. ucg_rate: part of the examples trained with the empty text.
    """

    kind: Literal["inpainting"]
    base: BaseModelRecipe
    masks: MaskRecipe = field(default_factory=MaskRecipe)
    ucg_rate: float = 0.1
    loss: LossRecipe = field(default_factory=LossRecipe)

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module. Raises CheckpointError, and ConfigError for a base that is no text-to-image U-Net."""
        base = self.base.open(context)
        form = base.model.form
        if not isinstance(form, UNetForm) or form.in_channels != form.latent_format.num_channels:
            raise ConfigError(
                f"{base.path.name} has no U-Net for text to image.",
                hint="Name a Stable Diffusion 1, 2 or XL checkpoint for text to image.",
            )
        latent = form.latent_format.num_channels
        wide = replace(form, config=replace(form.config, in_channels=2 * latent + _MASK_CHANNELS))
        network = widened(base.network(is_trained=True), wide)
        if self.base.uses_checkpointing:
            network.recompute_activations()
        hole = ShownHole(
            self.masks, self.loss.input_key, context.seed, lambda pixels: module.first_stage.encode(pixels)
        )
        module = assemble(
            base,
            network,
            base.texts(),
            self.loss,
            context,
            learned=LearnedWeights(base.path, ((base.model.source, network),)),
            ucg_rate=self.ucg_rate,
            more=(hole,),
            caller=wide,
        )
        return module


@torch.no_grad()
def widened(network: nn.Module, form: UNetForm) -> nn.Module:
    """A network of this form with the weights of one that has fewer input channels; the new ones count for nothing yet.

    Source: the published inpainting model, which began as the text-to-image model with zeros for its further channels.
    """
    wide = form.build()
    weights = dict(network.state_dict())
    first = "input_blocks.0.0.weight"
    known = weights[first]
    weights[first] = known.new_zeros(known.shape[0], form.in_channels, *known.shape[2:])
    weights[first][:, : known.shape[1]] = known
    wide.load_state_dict(weights)
    return wide.train()
