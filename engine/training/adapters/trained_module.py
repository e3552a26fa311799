"""One module's adapter while it is trained: the same tensors, by the same roles, that a file holds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.weights.adapters.patch import weight_change
from engine.weights.adapters.tensors import ALPHA

__all__ = ["AdaptedWeight", "TrainedModule", "adapt"]


class TrainedModule(nn.Module):
    """Float32 parameters by role. Fulfils `engine.weights.adapters.tensors.ModuleTensors`.

    So the change is computed by the very code that computes it when the file is loaded.
    """

    def __init__(self, tensors: Mapping[str, Tensor], alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.tensors = nn.ParameterDict({role: nn.Parameter(tensor.float()) for role, tensor in tensors.items()})

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor, by role."""
        return {role: tuple(tensor.shape) for role, tensor in self.tensors.items()}

    def read(self, role: str, like: Tensor) -> Tensor:
        """The parameter itself."""
        return self.tensors[role]

    def stored(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Copies for a file, on the CPU, with alpha."""
        copies = {role: tensor.detach().to("cpu", dtype, copy=True) for role, tensor in self.tensors.items()}
        return {**copies, ALPHA: torch.tensor(self.alpha)}


class AdaptedWeight(nn.Module):
    """Parametrization of a frozen weight: the weight plus the adapter's change, summed in float32."""

    def __init__(self, tensors: TrainedModule, dtype: torch.dtype) -> None:
        super().__init__()
        change = weight_change(tensors)
        assert change is not None, "a trained module has all tensors of its algorithm"
        self.tensors = tensors
        self.dtype = dtype
        self._change = change

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight in the compute dtype."""
        wide = weight.float()
        return (wide + self._change.change(wide)).to(self.dtype)


def adapt(layer: nn.Module, tensors: TrainedModule, dtype: torch.dtype) -> None:
    """Put an adapter on a layer's weight; `dtype` is what the layer computes in."""
    if parametrize.is_parametrized(layer, "weight"):
        # The adapter's own sum casts a weight that is held in another dtype.
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.register_parametrization(layer, "weight", AdaptedWeight(tensors, dtype), unsafe=True)
