"""The patch discriminator: says for overlapping patches whether they look real.

Source: Isola et al. 2016, arXiv:1611.07004; as used by Esser et al. 2021, arXiv:2012.09841.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DiscriminatorRecipe", "PatchDiscriminator", "discriminator_loss", "generator_loss"]

DiscriminatorLoss = Literal["hinge", "vanilla"]


@dataclass(frozen=True, slots=True)
class DiscriminatorRecipe:
    """When and how strongly a discriminator takes part.

    start_step: optimizer step from which it counts. weight: factor of its term; with is_adaptive on top of the ratio of
    gradient norms at the decoder's last layer, reconstruction over adversarial, at most max_adaptive_weight. Channels
    double in each of num_layers layers.
    """

    start_step: int = 50_001
    weight: float = 0.5
    is_adaptive: bool = True
    max_adaptive_weight: float = 1e4
    channels: int = 64
    num_layers: int = 3
    loss: DiscriminatorLoss = "hinge"
    learning_rate_factor: float = 1.0


class PatchDiscriminator(nn.Module):
    """Pixels [b 3 h w] in [-1, 1] → logits [b 1 h' w'], one a patch. Keys as published: main.N."""

    def __init__(self, in_channels: int = 3, channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = channels
        for number in range(1, num_layers + 1):
            wanted = channels * min(2**number, 8)
            stride = 1 if number == num_layers else 2
            layers += [
                nn.Conv2d(width, wanted, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(wanted),
                nn.LeakyReLU(0.2),
            ]
            width = wanted
        layers.append(nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.main = nn.Sequential(*layers)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights: normal with deviation 0.02, norms around 1 (the published initialisation)."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data.normal_(0.0, 0.02, generator=generator)
                if layer.bias is not None:
                    layer.bias.data.zero_()
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.data.normal_(1.0, 0.02, generator=generator)
                layer.bias.data.zero_()

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of all patches."""
        return self.main(pixels)


def discriminator_loss(real: Tensor, fake: Tensor, kind: DiscriminatorLoss) -> Tensor:
    """What the discriminator minimises, from its logits for real and made pictures."""
    if kind == "hinge":
        return 0.5 * (functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean())
    return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """What the decoder minimises, from the discriminator's logits for its pictures."""
    return -fake.mean()
