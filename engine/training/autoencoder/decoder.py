"""A decoder trained on behind a frozen encoder: better pictures from the same latents.

What was trained on these latents stays valid. Noise on them prepares the decoder for latents that a sampler made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from engine.nn.autoencoder import Autoencoder
from engine.training.autoencoder.loss import PictureLossRecipe, picture_loss
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe, crop_of, cut
from engine.training.first_stage import AutoencoderStageRecipe
from engine.training.picture_module import PictureModule, Validated, psnr
from engine.training.randomness import StepChance

__all__ = ["DecoderModule", "DecoderRecipe"]


@dataclass(frozen=True, slots=True)
class DecoderRecipe:
    """start: the autoencoder to begin with. latent_noise: its deviation, latents having one of about 1."""

    kind: Literal["decoder"]
    start: AutoencoderStageRecipe
    loss: PictureLossRecipe = field(default_factory=PictureLossRecipe)
    crops: tuple[CropRecipe, ...] = ()
    latent_noise: float = 0.0
    input_key: str = "image"

    def __post_init__(self) -> None:
        if self.latent_noise < 0:
            raise ValueError("latent_noise is at least 0")

    def build(self, context: BuildContext) -> DecoderModule:
        """The module with the file's weights, on the CPU. Raises CheckpointError when it holds no KL autoencoder."""
        return DecoderModule(self, context)


class DecoderModule(PictureModule):
    """Keys: network.…, of which decoder and post_quant_conv are learned. Raises ConfigError for crops of part cells."""

    network: Autoencoder

    def __init__(self, recipe: DecoderRecipe, context: BuildContext) -> None:
        stage = recipe.start.build(context)
        super().__init__(stage.autoencoder, recipe.input_key, context)
        self.recipe = recipe
        self._latent_format = stage.latent_format
        self.network.decoder.requires_grad_(True)
        if self.network.config.has_quant_convs:
            self.network.post_quant_conv.requires_grad_(True)

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """How far pictures are from what the decoder makes of their latents."""
        whole = self.pixels(batch)
        chance = StepChance.of_batch(self.seed, batch["first_draw"], len(whole), num_step_examples, whole.device)
        crop = crop_of(self.recipe.crops, chance.step)
        pixels = self.laid_out(cut([whole], crop, chance)[0])
        latent = self._encode(pixels)
        if self.recipe.latent_noise:
            per_picture = 1 if crop is None else crop.per_picture
            noise = chance.normal("latent", (per_picture, *latent.shape[1:])).flatten(0, 1)
            latent = latent + self.recipe.latent_noise * noise
        made = self.network.decode(self.laid_out(self._latent_format.from_network(latent))).float()
        return picture_loss(self.recipe.loss, made, pixels)

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """PSNR of reconstructions in dB; pictures beside their reconstructions."""
        pixels = self.pixels(batch)
        made = self.network.decode(self._latent_format.from_network(self._encode(pixels))).float()
        made, true = made.div(2).add(0.5), pixels.div(2).add(0.5)
        return Validated({"psnr": psnr(made, true)}, torch.stack([true, made], dim=1).clamp(0, 1))

    def exported(self) -> dict[str, Tensor]:
        """Keys of latent diffusion's first stages; the encoder's weights are those of the start."""
        return dict(self.network.state_dict())

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Mean latents, float32 [b c h/f w/f] in network scale."""
        mean = self.network.encode(pixels).float().chunk(2, dim=1)[0]
        return self._latent_format.to_network(mean)
