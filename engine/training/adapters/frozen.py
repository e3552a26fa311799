"""The network of a loaded checkpoint as a plain module that gradients can flow through; its weights stay fixed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.memory.device import Device
from engine.memory.network import NetworkSource
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["AsComputed", "load_network", "owner_of"]

_MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class AsComputed(nn.Module):
    """Parametrization of a weight that is held in another dtype than it is computed in."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, weight: Tensor) -> Tensor:
        """The weight in the compute dtype."""
        return weight.to(self.dtype)


def load_network(
    source: NetworkSource,
    device: Device,
    *,
    compute: torch.dtype,
    held: torch.dtype | None = None,
    patches: PatchSet = NO_PATCHES,
    is_trained: bool = False,
) -> nn.Module:
    """Build a network and give it its weights as parameters.

    Args:
        compute: the dtype of activations, norms, biases and tables.
        held: the dtype matrices and kernels are held in and cast from at each use; None holds them as computed. Those
            that are stored as they are held and lie in host memory are used where the file is mapped.
        patches: what the handle had on its weights.
        is_trained: the weights are copies with gradients; otherwise they stay fixed.
    """
    with torch.device("meta"):
        network = source.build()
    for name in source.weights.specs:
        layer, attribute = owner_of(network, name)
        is_matrix = isinstance(layer, _MATRICES) and attribute == "weight"
        dtype = (held or compute) if is_matrix else compute
        weight = _placed(source, name, device, dtype, patches)
        # A trained weight must not be a view of the file, which others read.
        setattr(layer, attribute, nn.Parameter(weight.clone() if is_trained else weight, requires_grad=is_trained))
        if weight.dtype != compute and is_matrix:
            parametrize.register_parametrization(layer, attribute, AsComputed(compute), unsafe=True)
    return network.train()


def owner_of(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The layer that has a weight of this name, and the weight's name in it."""
    path, _, attribute = name.rpartition(".")
    return network.get_submodule(path), attribute


def _placed(source: NetworkSource, name: str, device: Device, dtype: torch.dtype, patches: PatchSet) -> Tensor:
    stored = source.weights.read(name)
    if not patches.touches((name,)):
        return stored.to(device.torch, dtype)
    return patches.apply(name, stored.to(device.torch, torch.float32, copy=True)).to(dtype)
