"""LoRA and kin as a kind of training run, and their export as a kohya file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from engine.training.adapters.base_model import BaseModel, BaseModelRecipe, LossRecipe, assemble, learned_by
from engine.training.adapters.direct_host import text_encoders
from engine.training.adapters.files import write_adapter
from engine.training.adapters.injection import AdapterForm, InjectedAdapter, inject
from engine.training.adapters.targets import NetworkTargets, file_names, text_targets
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.weights.adapters.keys import read_modules
from engine.weights.adapters.tensors import StoredModule
from engine.weights.checkpoint import open_checkpoint

__all__ = ["LearnedAdapters", "LoraExportRecipe", "LoraRecipe"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class LearnedAdapters:
    """The adapters of a run: of the denoising network, and of the text encoders if they have any."""

    adapters: tuple[InjectedAdapter, ...]

    def file_tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The tensors of a file, by key."""
        return {key: tensor for adapter in self.adapters for key, tensor in adapter.file_tensors(dtype).items()}


@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """rank, alpha, conv_rank, conv_alpha: see `AdapterForm`; alpha divided by rank scales the change.

    targets: which layers of the denoising network. text_encoder: also those of the text encoders' layers.
    begin_with: a LoRA to go on with. ucg_rate: part of the examples trained with the empty text.
    """

    kind: Literal["lora"]
    base: BaseModelRecipe
    algorithm: Literal["lora", "loha", "lokr", "oft"] = "lora"
    rank: int = 8
    alpha: float | None = None
    conv_rank: int | None = None
    conv_alpha: float | None = None
    targets: NetworkTargets = field(default_factory=NetworkTargets)
    text_encoder: bool = False
    begin_with: Path | None = None
    ucg_rate: float = 0.0
    loss: LossRecipe = field(default_factory=LossRecipe)

    def __post_init__(self) -> None:
        if min(self.rank, self.conv_rank or 1) < 1:
            raise ValueError("rank and conv_rank must be at least 1")

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module; only adapters have gradients. Raises CheckpointError, ConfigError."""
        base = self.base.open(context)
        if self.begin_with is None:
            return self._built(base, {}, context)
        with open_checkpoint(context.path(self.begin_with)) as source:
            return self._built(base, read_modules(source).modules, context)

    def _built(self, base: BaseModel, stored: Mapping[str, StoredModule], context: BuildContext) -> DiffusionModule:
        network, texts = base.network(), base.texts()
        adapters = [self._injected(network, base.model.adapter_modules, self._layers(base), stored, context.seed)]
        if self.text_encoder:
            for encoder in text_encoders(base.clip):
                text, chosen = texts[encoder.source.identity], text_targets(encoder.weight_shapes)
                adapters.append(self._injected(text, encoder.adapter_modules, chosen, stored, context.seed))
        return assemble(
            base,
            network,
            texts,
            self.loss,
            context,
            learned=LearnedAdapters(tuple(adapters)),
            ucg_rate=self.ucg_rate,
            trains_texts=self.text_encoder,
        )

    def _layers(self, base: BaseModel) -> list[str]:
        return self.targets.chosen(base.model.weight_shapes)

    def _injected(
        self,
        network: nn.Module,
        spelled: Mapping[str, str],
        chosen: list[str],
        stored: Mapping[str, StoredModule],
        seed: int,
    ) -> InjectedAdapter:
        begin_with = {spelled[name]: tensors for name, tensors in stored.items() if name in spelled}
        names = file_names(dict.fromkeys([*chosen, *begin_with]), spelled)
        form = AdapterForm(self.algorithm, self.rank, self.alpha, self.conv_rank, self.conv_alpha)
        return inject(network, names, form, compute=torch.float32, seed=seed, begin_with=begin_with)


@dataclass(frozen=True, slots=True)
class LoraExportRecipe:
    """A file in the form of kohya's scripts. file: below the run folder unless absolute."""

    kind: Literal["lora"]
    file: Path = Path("lora.safetensors")
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    title: str = ""

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """Write the adapters as they are. Raises ConfigError when the run trains none."""
        tensors = learned_by(module, LearnedAdapters, "a LoRA").file_tensors(_DTYPES[self.dtype])
        titles = {"modelspec.title": self.title, "ss_output_name": self.title} if self.title else {}
        write_adapter(path, tensors, {**facts, **titles}, int(facts.get("atelier.steps", 0)))
