"""A preview decoder under training: a tiny decoder that learns to paint what a large one paints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from engine.nn.tiny_autoencoder import TinyDecoder
from engine.training.autoencoder.loss import PictureLossRecipe, picture_loss
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe, crop_of, cut
from engine.training.first_stage import AutoencoderStageRecipe
from engine.training.networks.initialisation import initialise
from engine.training.picture_module import PictureModule, Validated, psnr
from engine.training.randomness import StepChance

__all__ = ["PreviewDecoderModule", "PreviewDecoderRecipe"]

_DOWNSCALE = 8


@dataclass(frozen=True, slots=True)
class PreviewDecoderRecipe:
    """A tiny decoder for the latents of an autoencoder whose cells are 8 pixels wide.

    teacher: the autoencoder; it is frozen. width: channels of the tiny one, 64 in the published files.
    """

    kind: Literal["preview_decoder"]
    teacher: AutoencoderStageRecipe
    width: int = 64
    loss: PictureLossRecipe = field(default_factory=PictureLossRecipe)
    crops: tuple[CropRecipe, ...] = ()
    input_key: str = "image"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be at least 1")
        for crop in self.crops:
            if crop.size % _DOWNSCALE:
                raise ValueError(f"crops of {crop.size} are no whole cells of {_DOWNSCALE} pixels")

    def build(self, context: BuildContext) -> PreviewDecoderModule:
        """The module with its first weights, on the CPU."""
        return PreviewDecoderModule(self, context)


class PreviewDecoderModule(PictureModule):
    """Keys: network.… (learned), teacher.… Raises ConfigError when the autoencoder's cells are not 8 pixels wide."""

    network: TinyDecoder

    def __init__(self, recipe: PreviewDecoderRecipe, context: BuildContext) -> None:
        teacher = recipe.teacher.build(context)
        form = teacher.latent_format
        if form.downscale != _DOWNSCALE:
            raise ConfigError(
                f"A preview decoder enlarges by {_DOWNSCALE}, the teacher's cells are {form.downscale} pixels.",
                hint="Name another autoencoder in model.teacher.checkpoint.",
            )
        super().__init__(TinyDecoder(form.num_channels, recipe.width), recipe.input_key, context)
        initialise(self.network, context.seed, "preview_decoder")
        self.recipe = recipe
        self.teacher = teacher

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """How far the tiny decoder's picture is from the teacher's, for the latents of the batch's pictures."""
        whole = self.pixels(batch)
        chance = StepChance.of_batch(self.seed, batch["first_draw"], len(whole), num_step_examples, whole.device)
        pixels = self.laid_out(cut([whole], crop_of(self.recipe.crops, chance.step), chance)[0])
        latent = self.teacher.encode(pixels)
        wanted = self.teacher.decode(latent).clamp(-1, 1)
        made = self.network(self.laid_out(latent)).float() * 2 - 1
        return picture_loss(self.recipe.loss, made, wanted)

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """PSNR between both decoders' pictures, in dB."""
        latent = self.teacher.encode(self.pixels(batch))
        wanted = self.teacher.decode(latent).div(2).add(0.5)
        made = self.network(latent).float()
        return Validated({"psnr": psnr(made, wanted)}, torch.stack([wanted, made], dim=1).clamp(0, 1))

    def exported(self) -> dict[str, Tensor]:
        """Keys of the published taesd_decoder files: numbers of layers."""
        return dict(self.network.state_dict())
