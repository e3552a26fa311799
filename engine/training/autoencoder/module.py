"""An autoencoder under training, with its discriminator and its perceptual distance where the recipe wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from engine.nn.autoencoder import Autoencoder
from engine.training.autoencoder.discriminator import (
    DiscriminatorRecipe,
    PatchDiscriminator,
    discriminator_loss,
    generator_loss,
)
from engine.training.autoencoder.first_weights import lay_mosaic
from engine.training.autoencoder.loss import adaptive_weight, reconstruction_loss
from engine.training.autoencoder.perceptual import load_perceptual_distance
from engine.training.autoencoder.posterior import GaussianPosterior
from engine.training.autoencoder.recipe import AutoencoderRecipe
from engine.training.context import BuildContext
from engine.training.crops import crop_of, cut
from engine.training.networks.initialisation import initialise
from engine.training.optimizer import ParameterSet
from engine.training.picture_module import PictureModule, Validated, psnr
from engine.training.randomness import StepChance, derived_seed

__all__ = ["AutoencoderModule"]


class AutoencoderModule(PictureModule):
    """Keys: network.…, discriminator.…, perceptual.…

    Autoencoder and discriminator are two sets of one optimizer and take their steps together, each against the other as
    it was before the step.

    Raises CheckpointError when a perceptual distance is wanted and its weights are not there.
    """

    network: Autoencoder

    def __init__(self, recipe: AutoencoderRecipe, context: BuildContext) -> None:
        super().__init__(Autoencoder(recipe.config), recipe.input_key, context)
        self.recipe = recipe
        initialise(self.network, context.seed, "autoencoder")
        if recipe.first_weights == "mosaic":
            lay_mosaic(self.network)
        self.perceptual: nn.Module | None = None
        if recipe.loss.perceptual_weight:
            paths = [context.path(path) for path in recipe.loss.perceptual_weights]
            self.perceptual = load_perceptual_distance(paths)
        self.discriminator: PatchDiscriminator | None = None
        if (wanted := recipe.loss.discriminator) is not None:
            self.discriminator = PatchDiscriminator(3, wanted.channels, wanted.num_layers)
            seed = derived_seed(context.seed, "first", "discriminator")
            self.discriminator.initialise(torch.Generator().manual_seed(seed))

    def parameter_sets(self) -> tuple[ParameterSet, ...]:
        """The autoencoder, and its opponent with a rate of its own."""
        sets = [ParameterSet(tuple(self.network.parameters()))]
        if self.discriminator is not None and self.recipe.loss.discriminator is not None:
            factor = self.recipe.loss.discriminator.learning_rate_factor
            sets.append(ParameterSet(tuple(self.discriminator.parameters()), factor))
        return tuple(sets)

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """Reconstruction, regularisation and, once it has started, both sides' part of the discriminator."""
        whole = self.pixels(batch)
        chance = StepChance.of_batch(self.seed, batch["first_draw"], len(whole), num_step_examples, whole.device)
        crop = crop_of(self.recipe.crops, chance.step)
        pixels = self.laid_out(cut([whole], crop, chance)[0])
        latent, regularisation = self._latent(pixels, chance, 1 if crop is None else crop.per_picture)
        made = self.network.decode_quantized(self.laid_out(latent)).float()
        reconstruction = reconstruction_loss(self.recipe.loss, made, pixels, self.perceptual)
        self.measurements["reconstruction"] = reconstruction.detach()
        total = reconstruction + regularisation
        opponent = self.recipe.loss.discriminator
        if self.discriminator is None or opponent is None or chance.step < opponent.start_step:
            return total
        return total + self._contest(self.discriminator, opponent, made, pixels, reconstruction)

    def encode(self, pixels: Tensor) -> GaussianPosterior:
        """Distribution of the latents of pictures [b 3 h w] in [-1, 1]; the VQ form's has next to no variance."""
        encoded = self.network.encode(pixels).float()
        if self.recipe.codebook_size is None:
            return GaussianPosterior.of(encoded)
        return GaussianPosterior(encoded, torch.full_like(encoded, -30.0))

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """PSNR of reconstructions from the mean latent, in dB; pictures beside their reconstructions."""
        pixels = self.pixels(batch)
        latent = self.network.encode(pixels)[:, : self.recipe.latent_channels]
        made = self.network.decode(latent).float().div(2).add(0.5)
        true = pixels.div(2).add(0.5)
        return Validated({"psnr": psnr(made, true)}, torch.stack([true, made], dim=1).clamp(0, 1))

    def exported(self) -> dict[str, Tensor]:
        """Keys of latent diffusion's first stages: encoder, decoder, quant_conv, post_quant_conv, quantize."""
        return dict(self.network.state_dict())

    def _latent(self, pixels: Tensor, chance: StepChance, num_crops: int) -> tuple[Tensor, Tensor]:
        """The latent to decode and the loss that regularises it."""
        recipe = self.recipe.loss
        encoded = self.network.encode(pixels)
        if self.recipe.codebook_size is not None:
            quantization = self.network.quantize(encoded.float())
            self.measurements["codebook"] = quantization.loss.detach()
            return quantization.quantized, recipe.codebook_weight * quantization.loss
        posterior = GaussianPosterior.of(encoded)
        noise = chance.normal("posterior", (num_crops, *posterior.mean.shape[1:])).flatten(0, 1)
        nats = posterior.kl().mean() / posterior.mean[0].numel()
        self.measurements["kl"] = nats.detach()
        return posterior.sample(noise), recipe.kl_weight * nats

    def _contest(
        self,
        discriminator: PatchDiscriminator,
        recipe: DiscriminatorRecipe,
        made: Tensor,
        pixels: Tensor,
        reconstruction: Tensor,
    ) -> Tensor:
        """The term the autoencoder learns from plus the one the discriminator learns from; neither teaches both."""
        frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
        adversarial = generator_loss(functional_call(discriminator, frozen, (made,)).float())
        weight = adversarial.new_tensor(recipe.weight)
        if recipe.is_adaptive:
            last_layer = self.network.decoder.conv_out.weight
            weight = weight * adaptive_weight(reconstruction, adversarial, last_layer, recipe.max_adaptive_weight)
        judged = discriminator_loss(discriminator(pixels).float(), discriminator(made.detach()).float(), recipe.loss)
        self.measurements |= {
            "adversarial": adversarial.detach(),
            "adversarial_weight": weight,
            "discriminator": judged.detach(),
        }
        return weight * adversarial + judged
