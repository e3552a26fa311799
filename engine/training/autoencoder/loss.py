"""What an autoencoder minimises: reconstruction, perceptual distance, regularisation, and a discriminator's opinion.

Source: Rombach et al. 2022, arXiv:2112.10752, appendix G; Esser et al. 2021, arXiv:2012.09841, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from engine.training.autoencoder.discriminator import DiscriminatorRecipe

__all__ = ["AutoencoderLossRecipe", "PictureLossRecipe", "adaptive_weight", "picture_loss", "reconstruction_loss"]

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class PictureLossRecipe:
    """The terms of `AutoencoderLossRecipe` that compare pixels and edges."""

    reconstruction: Literal["l1", "l2"] = "l1"
    edge_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class AutoencoderLossRecipe:
    """Weights of the terms, each a mean over pixels (or latent cells) so that they do not depend on the picture's size.

    reconstruction: distance of pixels in [-1, 1]. edge_weight: the same distance between differences of neighbouring
    pixels at three scales, which keeps contours sharp where no perceptual weights are at hand. kl_weight: nats a latent
    cell and channel (KL form). codebook_weight: of the VQ form. perceptual_weights: files of LPIPS.
    """

    reconstruction: Literal["l1", "l2"] = "l1"
    reconstruction_weight: float = 1.0
    edge_weight: float = 0.0
    perceptual_weight: float = 0.0
    perceptual_weights: tuple[Path, ...] = field(default=(Path("models/lpips/vgg.safetensors"),))
    kl_weight: float = 1e-6
    codebook_weight: float = 1.0
    discriminator: DiscriminatorRecipe | None = None


def reconstruction_loss(
    recipe: AutoencoderLossRecipe, made: Tensor, pixels: Tensor, distance: Distance | None
) -> Tensor:
    """Mean over pixels of all terms that compare a made picture with the real one, both [b 3 h w] in [-1, 1]."""
    total = _picture_loss(recipe.reconstruction, recipe.reconstruction_weight, recipe.edge_weight, made, pixels)
    if distance is not None and recipe.perceptual_weight:
        total = total + recipe.perceptual_weight * distance(made, pixels).mean()
    return total


def picture_loss(recipe: PictureLossRecipe, made: Tensor, pixels: Tensor) -> Tensor:
    """Mean over pixels of the differences of two pictures [b 3 h w] and of their edges."""
    return _picture_loss(recipe.reconstruction, 1.0, recipe.edge_weight, made, pixels)


def _picture_loss(kind: str, weight: float, edge_weight: float, made: Tensor, pixels: Tensor) -> Tensor:
    measure = functional.l1_loss if kind == "l1" else functional.mse_loss
    total = weight * measure(made, pixels)
    return total + edge_weight * _edge_loss(made, pixels, measure) if edge_weight else total


def _edge_loss(made: Tensor, pixels: Tensor, measure: Distance) -> Tensor:
    total = made.new_zeros(())
    for scale in range(3):
        if scale:
            made, pixels = functional.avg_pool2d(made, 2), functional.avg_pool2d(pixels, 2)
        for axis in (2, 3):
            total = total + measure(made.diff(dim=axis), pixels.diff(dim=axis))
    return total


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor, limit: float) -> Tensor:
    """|∇ reconstruction| / |∇ adversarial| at the decoder's last layer: lets both pull it equally. At most `limit`."""
    given = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)[0]
    wanted = torch.autograd.grad(adversarial, last_layer, retain_graph=True)[0]
    return (given.norm() / (wanted.norm() + 1e-4)).clamp(0.0, limit).detach()
