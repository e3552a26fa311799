"""Adapters put on the chosen modules of a network, and taken off again as the tensors of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from engine.core.errors import NodeError
from engine.training.adapters.algorithms import Algorithm, first_tensors
from engine.training.adapters.trained_module import TrainedModule, adapt
from engine.weights.adapters.patch import weight_change
from engine.weights.adapters.tensors import ALPHA, StoredModule

__all__ = ["FILE_ENDS", "AdapterForm", "InjectedAdapter", "inject"]

FILE_ENDS: Mapping[str, str] = {"lora_up": "lora_up.weight", "lora_down": "lora_down.weight"}
"""Ends of keys for roles that are not called like their role."""


@dataclass(frozen=True, slots=True)
class AdapterForm:
    """rank: of matrices; conv_rank of kernels larger than 1x1, the same when None. alpha: None means the rank."""

    algorithm: Algorithm = "lora"
    rank: int = 8
    alpha: float | None = None
    conv_rank: int | None = None
    conv_alpha: float | None = None

    def rank_for(self, shape: tuple[int, ...]) -> int:
        """The rank for a weight of this shape, never beyond what the weight itself can have."""
        is_kernel = len(shape) > 2 and max(shape[2:]) > 1
        wanted = self.conv_rank if is_kernel and self.conv_rank is not None else self.rank
        return min(wanted, shape[0], math.prod(shape[1:]))

    def alpha_for(self, shape: tuple[int, ...], rank: int) -> float:
        """alpha for a weight of this shape. Orthogonal turns have none: 0 leaves them free."""
        if self.algorithm == "oft":
            return 0.0
        is_kernel = len(shape) > 2 and max(shape[2:]) > 1
        wanted = self.conv_alpha if is_kernel and self.conv_alpha is not None else self.alpha
        return float(rank if wanted is None else wanted)


class InjectedAdapter(nn.Module):
    """The adapters of one network, by their names in a file; their parameters are the ones to train."""

    def __init__(self, modules: Mapping[str, TrainedModule]) -> None:
        super().__init__()
        self._names = list(modules)
        self.modules_in_order = nn.ModuleList(modules.values())

    def file_tensors(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """The tensors of a kohya file, by key."""
        tensors: dict[str, Tensor] = {}
        for name, module in zip(self._names, self.modules_in_order, strict=True):
            assert isinstance(module, TrainedModule)
            for role, tensor in module.stored(dtype).items():
                tensors[f"{name}.{FILE_ENDS.get(role, role)}"] = tensor
        return tensors

    def halves(self) -> dict[str, Tensor]:
        """The two factors of each low-rank change, by the keys of a control-LoRA; their scale is 1."""
        tensors: dict[str, Tensor] = {}
        for name, module in zip(self._names, self.modules_in_order, strict=True):
            assert isinstance(module, TrainedModule)
            tensors |= {f"{name}.{half}": module.tensors[f"lora_{half}"] for half in ("up", "down")}
        return tensors


def inject(
    network: nn.Module,
    names: Mapping[str, str],
    form: AdapterForm,
    *,
    compute: torch.dtype,
    seed: int,
    begin_with: Mapping[str, StoredModule] = MappingProxyType({}),
) -> InjectedAdapter:
    """Put an adapter on modules of a network whose weights are frozen.

    Args:
        network: of `load_network`; its layers compute in `compute`.
        names: module → its name in a file.
        begin_with: an adapter to go on with, by module; modules it lacks begin as new ones, in the form given.

    Raises NodeError when the adapter to go on with does not fit.
    """
    made: dict[str, TrainedModule] = {}
    for module, name in names.items():
        layer = network.get_submodule(module)
        weight = layer.weight
        shape = tuple(weight.shape)
        stored = begin_with.get(module)
        if stored is None:
            rank = form.rank_for(shape)
            tensors = first_tensors(form.algorithm, shape, rank, seed, name)
            trained = TrainedModule(tensors, form.alpha_for(shape, rank))
        else:
            copies = {role: stored.read(role, torch.empty(0)).clone() for role in stored.keys if role != ALPHA}
            trained = TrainedModule(copies, _kept_alpha(stored.alpha, copies))
        change = weight_change(trained)
        if change is None or not change.fits(shape):
            raise NodeError(
                f"The adapter to go on with does not fit: {name} has other sizes or an unknown algorithm.",
                code="adapter_mismatch",
                hint="Choose an adapter that was trained on this kind of model.",
                input="existing_lora",
            )
        made[name] = trained.to(weight.device)
        adapt(layer, made[name], compute)
    return InjectedAdapter(made)


def _kept_alpha(alpha: float | None, tensors: Mapping[str, Tensor]) -> float:
    """alpha of an adapter to go on with; where none was said, what leaves its scale at 1."""
    if alpha is not None:
        return alpha
    rank = next((tensors[role].shape[0] for role in ("lora_down", "hada_w1_b", "lokr_w2_b") if role in tensors), 0)
    return float(rank)
