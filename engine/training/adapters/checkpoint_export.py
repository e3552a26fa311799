"""Writing a checkpoint again with the weights a run has trained, by the very keys the checkpoint has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from engine.memory.network import NetworkSource
from engine.training.adapters.base_model import learned_by
from engine.training.config.error import ConfigError
from engine.training.diffusion_module import DiffusionModule
from engine.weights.checkpoint import TORCH_DTYPES, Checkpoint, open_checkpoint
from engine.weights.remap import SCALE_MARK, WEIGHT_SCALE, WeightReader
from engine.weights.writer import write_safetensors

__all__ = ["CheckpointExportRecipe", "LearnedWeights"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32, "fp8": torch.float16}
"""What weights are written in; with fp8 those that eight bits would save little of."""
_EIGHT_BITS = torch.float8_e4m3fn
_MIN_EIGHT_BIT_VALUES = 1 << 14
_OTHER_PARTS = ("cond_stage_model.", "conditioner.", "first_stage_model.")
"""What keys of text encoders and autoencoders begin with."""

_Piece = tuple[tuple[int, int], bool, Tensor]
"""A trained weight that a key holds a part of: (part, transposed?, weight)."""


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """The networks that were trained, the denoising one first, with the sources their first weights came from."""

    path: Path
    networks: tuple[tuple[NetworkSource, nn.Module], ...]


@dataclass(frozen=True, slots=True)
class CheckpointExportRecipe:
    """The checkpoint with the trained weights in the place of its own. file: below the run folder unless absolute.

    dtype: of the trained weights; the others stay as the file has them. fp8 holds the network's matrices as e4m3 with a
    scale for each, a quarter of fp32, which `Load Checkpoint` reads; what is small, and text encoders, are fp16 then.
    parts: everything, or the network alone for use beside the checkpoint it came from.
    Moving averages of earlier training are left out, since they are not of these weights.
    """

    kind: Literal["checkpoint"]
    file: Path = Path("model.safetensors")
    dtype: Literal["fp16", "bf16", "fp32", "fp8"] = "fp16"
    parts: Literal["all", "network"] = "all"
    title: str = ""

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """Write the weights as they are. Raises ConfigError when the run is none that trains a whole network."""
        learned = learned_by(module, LearnedWeights, "a checkpoint")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_checkpoint(learned.path) as base:
            specs, tensor = self._content(base, learned)
            titles = {"modelspec.title": self.title} if self.title else {}
            write_safetensors(path, specs, tensor, {**base.metadata, **titles, **facts})

    def _content(
        self, base: Checkpoint, learned: LearnedWeights
    ) -> tuple[dict[str, tuple[torch.dtype, tuple[int, ...]]], Callable[[str], Tensor]]:
        """Specs of all keys, and what gives the tensor of one."""
        left_out = ("model_ema.", *(_OTHER_PARTS if self.parts == "network" else ()))
        places = {key: pieces for key, pieces in _places(learned).items() if not key.startswith(left_out)}
        scaled = _scaled(learned.networks[0], places) if self.dtype == "fp8" else {}
        dtype = _DTYPES[self.dtype]
        # The trained weights are the products already, and have scales of their own or none.
        spent = {key for source, _ in learned.networks for key in _reader(source).scale_keys}
        specs: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            key: (TORCH_DTYPES[info.dtype], info.shape)
            for key, info in base.tensors.items()
            if not key.startswith(left_out) and key not in spent
        }
        for key, pieces in places.items():
            specs[key] = (_EIGHT_BITS if key in scaled else dtype, tuple(_whole(base, key, pieces).shape))
        scales = {_scale_key(key): scale for key, scale in scaled.items()}
        marks = {_mark(learned.networks[0]): torch.zeros(0, dtype=_EIGHT_BITS)} if scaled else {}
        for key, extra in {**scales, **marks}.items():
            specs[key] = (extra.dtype, tuple(extra.shape))

        def tensor(key: str) -> Tensor:
            if key in scales or key in marks:
                return scales[key] if key in scales else marks[key]
            if key not in places:
                return base.tensor(key)
            whole = _whole(base, key, places[key])
            return _rounded(key, whole / scaled[key], _EIGHT_BITS) if key in scaled else _rounded(key, whole, dtype)

        return specs, tensor


def _places(learned: LearnedWeights) -> dict[str, list[_Piece]]:
    """Key of the file → the trained weights that share it."""
    places: dict[str, list[_Piece]] = {}
    for source, network in learned.networks:
        weights = dict(network.named_parameters())
        for name, ref in _reader(source).refs.items():
            places.setdefault(ref.key, []).append((ref.part, ref.is_transposed, weights[name]))
    return places


def _reader(source: NetworkSource) -> WeightReader:
    if not isinstance(source.weights, WeightReader):
        raise ConfigError("The weights of this family are not read from one file.", hint="Leave out export.")
    return source.weights


def _scaled(network: tuple[NetworkSource, nn.Module], places: Mapping[str, list[_Piece]]) -> dict[str, Tensor]:
    """Key → scale, float32, of the network's matrices that are worth eight bits: their largest value is e4m3's.

    Source: Micikevicius et al. 2022, arXiv:2209.05433, section 3.
    """
    keys = {ref.key for ref in _reader(network[0]).refs.values() if ref.key.endswith(".weight")}
    largest = torch.finfo(_EIGHT_BITS).max
    scales = {}
    for key in keys & places.keys():
        weights = [weight.detach() for _, _, weight in places[key]]
        if weights[0].ndim < 2 or sum(weight.numel() for weight in weights) < _MIN_EIGHT_BIT_VALUES:
            continue
        peak = max(float(weight.abs().max()) for weight in weights)
        scales[key] = torch.tensor(peak / largest if peak else 1.0)
    return scales


def _scale_key(key: str) -> str:
    return key.removesuffix("weight") + WEIGHT_SCALE


def _mark(network: tuple[NetworkSource, nn.Module]) -> str:
    """The key that says that a file has scales: beside the keys of the network."""
    name, ref = next(iter(_reader(network[0]).refs.items()))
    return ref.key.removesuffix(name) + SCALE_MARK


def _whole(base: Checkpoint, key: str, pieces: list[_Piece]) -> Tensor:
    """What a key holds, put together out of the trained weights that came from it.

    In the shape the file has, which may lack axes of length one; a network that was widened is wider in the file, too.
    """
    ordered = sorted(pieces, key=lambda item: item[0][0])
    parts = [
        weight.detach().cpu().t() if is_transposed else weight.detach().cpu() for _, is_transposed, weight in ordered
    ]
    whole = torch.cat(parts) if len(parts) > 1 else parts[0]
    shape = base.tensors[key].shape
    return whole.reshape(shape) if whole.numel() == torch.Size(shape).numel() else whole


def _rounded(key: str, whole: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight in the file's dtype. Raises ConfigError when it does not fit."""
    rounded = whole.to(dtype)
    if not torch.isfinite(rounded.float()).all():
        raise ConfigError(f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run.")
    return rounded
