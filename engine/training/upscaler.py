"""An upscaler under training: the compact form, from pictures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.nn.upscaler import CompactUpscaler, CompactUpscalerConfig
from engine.training.autoencoder.loss import PictureLossRecipe, picture_loss
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe, crop_of, cut
from engine.training.data.collate import Batch
from engine.training.degradation import DegradationRecipe, degraded, reduced
from engine.training.networks.initialisation import gain_of, initialise
from engine.training.picture_module import PictureModule, Validated, psnr
from engine.training.postcards.chance import Chance
from engine.training.randomness import StepChance

__all__ = ["UpscalerModule", "UpscalerRecipe"]

_SMALL_KEY = "small"
_FIRST_SLOPE = 0.25
"""Of a PReLU before training."""


@dataclass(frozen=True, slots=True)
class UpscalerRecipe:
    """Sizes as in `engine.nn.upscaler.CompactUpscalerConfig`. crops: sizes count pixels of the enlarged picture.

    degradation: what the small pictures it learns from have been through.
    """

    kind: Literal["upscaler"]
    channels: int = 64
    num_convs: int = 16
    scale: int = 2
    degradation: DegradationRecipe = field(default_factory=DegradationRecipe)
    loss: PictureLossRecipe = field(default_factory=PictureLossRecipe)
    crops: tuple[CropRecipe, ...] = ()
    input_key: str = "image"

    def __post_init__(self) -> None:
        if self.channels < 1 or self.num_convs < 0 or self.scale < 2:
            raise ValueError("an upscaler has at least one channel and enlarges at least twice")
        for crop in self.crops:
            if crop.size % self.scale:
                raise ValueError(f"crops of {crop.size} cannot be made {self.scale} times smaller")

    def build(self, context: BuildContext) -> UpscalerModule:
        """The module with its first weights, on the CPU."""
        return UpscalerModule(self, context)


class UpscalerModule(PictureModule):
    """Keys: network.body.N…"""

    network: CompactUpscaler

    def __init__(self, recipe: UpscalerRecipe, context: BuildContext) -> None:
        config = CompactUpscalerConfig(recipe.channels, recipe.num_convs, recipe.scale)
        super().__init__(CompactUpscaler(config), recipe.input_key, context)
        # Without norms and without this a chain of eight fades to nothing, and learns nothing.
        initialise(self.network, context.seed, "upscaler", gain_of(_FIRST_SLOPE))
        # At first it enlarges as its input is enlarged, and learns the rest from there.
        torch.nn.init.zeros_(self.network.body[-1].weight)  # type: ignore[arg-type]
        self.recipe = recipe

    def prepare(self, batch: Batch) -> Batch:
        """The batch with small versions of its pictures, made on the host."""
        whole = batch.get(self.input_key)
        if not isinstance(whole, Tensor):
            return batch
        scale = self.recipe.scale
        whole = whole[..., : whole.shape[-2] // scale * scale, : whole.shape[-1] // scale * scale].float()
        small = [
            degraded(picture, scale, self.recipe.degradation, Chance("degradation", self.seed, batch["first_draw"] + n))
            for n, picture in enumerate(whole.div(2).add(0.5).clamp(0, 1))
        ]
        return {**batch, self.input_key: whole, _SMALL_KEY: torch.stack(small)}

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """How far enlarged small pictures are from the true ones."""
        whole = self.pixels(batch)
        small = batch[_SMALL_KEY].to(whole.device)
        chance = StepChance.of_batch(self.seed, batch["first_draw"], len(whole), num_step_examples, whole.device)
        crop = crop_of(self.recipe.crops, chance.step)
        if crop is not None:
            # Places are whole pixels of the small picture, so that both crops show the same.
            crop = CropRecipe(crop.size // self.recipe.scale, crop.per_picture)
        small, whole = cut([small, whole], crop, chance)
        made = self.network(self.laid_out(small)).float()
        return picture_loss(self.recipe.loss, made * 2 - 1, whole)

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """PSNR of pictures reduced by area and enlarged again, in dB, and that of bicubic enlargement."""
        scale = self.recipe.scale
        whole = self.pixels(batch)
        if min(whole.shape[2:]) < scale:
            raise ConfigError(f"Pictures of {list(whole.shape[2:])} are too small.", hint="Validate with larger ones.")
        true = whole[..., : whole.shape[2] // scale * scale, : whole.shape[3] // scale * scale].div(2).add(0.5)
        small = reduced(true, scale, "area")
        made = self.network(self.laid_out(small)).float()
        bicubic = functional.interpolate(small, scale_factor=float(scale), mode="bicubic", align_corners=False)
        figures = {"psnr": psnr(made, true), "psnr_bicubic": psnr(bicubic, true)}
        return Validated(figures, torch.stack([true, bicubic, made], dim=1).clamp(0, 1))

    def exported(self) -> dict[str, Tensor]:
        """Keys of the published compact form: body.N."""
        return dict(self.network.state_dict())
