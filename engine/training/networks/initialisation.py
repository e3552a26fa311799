"""First weights of a network that is trained from nothing. The engine's layers have none of their own.

Every weight is drawn from a generator of the run's seed and the weight's name, so it does not depend on what else is
built.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from engine.training.randomness import derived_seed

__all__ = ["gain_of", "initialise"]

_ZEROED = (".out_layers.3", ".proj_out", "out.2")
"""Last maps of residual branches and of a U-Net: at first every block passes its input on.
Source: Dhariwal & Nichol 2021, arXiv:2105.05233, `zero_module`."""


@torch.no_grad()
def initialise(network: nn.Module, seed: int, part: str, gain: float = 1.0) -> None:
    """Give every layer its first weights; `part` tells the parts of one model apart.

    Matrices and kernels are uniform within ±gain/sqrt(fan-in), with 1 as torch's own; tables are normal with deviation
    0.02; norms pass through, PReLU keeps a quarter of what is negative. A text transformer's branch ends are scaled
    down by its depth (Radford et al. 2019). `gain_of` is for chains of layers that no norm holds at their scale.
    """
    num_layers = max(1, sum(1 for name, _ in network.named_modules() if name.endswith(".mlp.fc2")))
    for name, layer in network.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            _normal(layer.weight, 0.02, seed, part, name)
        elif isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            _map(layer, name, seed, part, gain, 1.0 / math.sqrt(2 * num_layers))
        elif own and not isinstance(layer, nn.PReLU):
            raise TypeError(f"nothing is known about first weights of {type(layer).__name__} ({name})")


def gain_of(slope: float) -> float:
    """What keeps the variance through layers that a leaky ReLU of this slope follows. Source: He et al. 2015,
    arXiv:1502.01852."""
    return math.sqrt(6.0 / (1.0 + slope * slope))


def _map(
    layer: nn.Linear | nn.Conv2d | nn.Conv3d, name: str, seed: int, part: str, gain: float, branch_scale: float
) -> None:
    if name.endswith(_ZEROED):
        nn.init.zeros_(layer.weight)
    else:
        bound = gain / math.sqrt(math.prod(layer.weight.shape[1:]))
        if name.endswith((".mlp.fc2", ".self_attn.out_proj")):
            bound *= branch_scale
        generator = torch.Generator().manual_seed(derived_seed(seed, "first", part, name))
        values = torch.empty(layer.weight.shape).uniform_(-bound, bound, generator=generator)
        layer.weight.copy_(values)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _normal(weight: nn.Parameter, deviation: float, seed: int, part: str, name: str) -> None:
    generator = torch.Generator().manual_seed(derived_seed(seed, "first", part, name))
    weight.copy_(torch.randn(weight.shape, generator=generator) * deviation)
