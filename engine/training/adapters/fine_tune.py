"""Training all weights of a loaded checkpoint, and its export with the very keys the checkpoint has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from engine.memory.network import NetworkSource
from engine.training.adapters.base_model import BaseModel, BaseModelRecipe, LossRecipe, assemble, learned_by
from engine.training.adapters.direct_host import text_encoders
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.weights.checkpoint import TORCH_DTYPES, Checkpoint, open_checkpoint
from engine.weights.remap import WeightReader
from engine.weights.writer import write_safetensors

__all__ = ["CheckpointExportRecipe", "FineTuneRecipe", "LearnedWeights"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """The networks that were trained, with the sources their first weights came from."""

    path: Path
    networks: tuple[tuple[NetworkSource, nn.Module], ...]


@dataclass(frozen=True, slots=True)
class FineTuneRecipe:
    """text_encoder: train it with the network. ucg_rate: part of the examples trained with the empty text.

    Weights are float32 while they are trained, whatever `base.held` says of those that are not.
    """

    kind: Literal["fine_tune"]
    base: BaseModelRecipe
    text_encoder: bool = False
    ucg_rate: float = 0.1
    loss: LossRecipe = field(default_factory=LossRecipe)

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module. Raises CheckpointError, ConfigError."""
        base = self.base.open(context)
        network = base.network(is_trained=True)
        texts = base.texts(is_trained=self.text_encoder)
        return assemble(
            base,
            network,
            texts,
            self.loss,
            context,
            learned=LearnedWeights(base.path, self._trained(base, network, texts)),
            ucg_rate=self.ucg_rate,
            trains_texts=self.text_encoder,
        )

    def _trained(
        self, base: BaseModel, network: nn.Module, texts: Mapping[str, nn.Module]
    ) -> tuple[tuple[NetworkSource, nn.Module], ...]:
        trained = [(base.model.source, network)]
        if self.text_encoder:
            sources = [encoder.source for encoder in text_encoders(base.clip)]
            trained += [(source, texts[source.identity]) for source in sources]
        return tuple(trained)


@dataclass(frozen=True, slots=True)
class CheckpointExportRecipe:
    """The checkpoint with the trained weights in the place of its own. file: below the run folder unless absolute.

    dtype: of the trained weights; the others stay as the file has them. Moving averages of earlier training are left
    out, since they are not of these weights.
    """

    kind: Literal["checkpoint"]
    file: Path = Path("model.safetensors")
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    title: str = ""

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """Write the weights as they are. Raises ConfigError when the run is none that trains a whole network."""
        learned = learned_by(module, LearnedWeights, "a checkpoint")
        dtype = _DTYPES[self.dtype]
        with open_checkpoint(learned.path) as base:
            places = _places(learned)
            specs = {
                key: (dtype if key in places else TORCH_DTYPES[info.dtype], info.shape)
                for key, info in base.tensors.items()
                if not key.startswith("model_ema.")
            }
            titles = {"modelspec.title": self.title} if self.title else {}
            metadata = {**base.metadata, **titles, **facts}
            write_safetensors(path, specs, lambda key: _tensor(base, key, places.get(key), dtype), metadata)


def _places(learned: LearnedWeights) -> dict[str, list[tuple[tuple[int, int], bool, Tensor]]]:
    """Key of the file → the trained weights that share it: (part, transposed?, weight)."""
    places: dict[str, list[tuple[tuple[int, int], bool, Tensor]]] = {}
    for source, network in learned.networks:
        reader = source.weights
        if not isinstance(reader, WeightReader):
            raise ConfigError("The weights of this family are not read from one file.", hint="Leave out export.")
        weights = dict(network.named_parameters())
        for name, ref in reader.refs.items():
            places.setdefault(ref.key, []).append((ref.part, ref.is_transposed, weights[name]))
    return places


def _tensor(
    base: Checkpoint, key: str, parts: list[tuple[tuple[int, int], bool, Tensor]] | None, dtype: torch.dtype
) -> Tensor:
    """The tensor of a key: the file's own, or put together out of the trained weights that came from it."""
    if parts is None:
        return base.tensor(key)
    ordered = sorted(parts, key=lambda item: item[0][0])
    pieces = [
        weight.detach().cpu().t() if is_transposed else weight.detach().cpu() for _, is_transposed, weight in ordered
    ]
    whole = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
    rounded = whole.reshape(base.tensors[key].shape).to(dtype)
    if not torch.isfinite(rounded).all():
        raise ConfigError(f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run.")
    return rounded
