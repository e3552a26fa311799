"""Training a control network, and its export in the published key layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from engine.families.control.layouts import LORA_MARK
from engine.families.unet.form import UNetForm
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.training.adapters.base_model import BaseModelRecipe, LossRecipe, assemble, learned_by
from engine.training.adapters.injection import InjectedAdapter
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.context import BuildContext
from engine.training.control.colours import ColourCellsRecipe
from engine.training.control.edges import CannyRecipe
from engine.training.control.network import ControlledCall, ControlledNetwork, copied_control, learns_at_rank
from engine.training.diffusion_module import DiffusionModule
from engine.weights.writer import write_safetensors

__all__ = ["HINT_ENTRY", "ControlExportRecipe", "ControlNetRecipe", "HintRecipe", "LearnedControl"]

HintRecipe = CannyRecipe | ColourCellsRecipe
HINT_ENTRY = "atelier.hint"
"""Entry of a file's header: the recipe of the hints it was trained with, as JSON."""

_COLOURS = 3
_PREFIX = "control_model."
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class LearnedControl:
    """The control network that was trained, the changes it consists of if it has a rank, and what it was shown."""

    network: ControlNet
    changes: InjectedAdapter | None
    hint: HintRecipe

    def tensors(self) -> dict[str, Tensor]:
        """The weights by the keys of published files: of a ControlNet, or of a control-LoRA."""
        if self.changes is None:
            return {_PREFIX + name: weight for name, weight in self.network.state_dict().items()}
        # Low-rank halves are parametrizations of the weights they change; all other parameters are the network's own.
        own = {name: weight for name, weight in self.network.named_parameters() if "parametrizations" not in name}
        halves = self.changes.halves()
        return {LORA_MARK: torch.zeros(0), **own, **halves}


@dataclass(frozen=True, slots=True)
class ControlNetRecipe:
    """hint: what the network is shown. hint_channels: widths of its maps of the picture, from the picture's own size.

    rank: learn changes of this rank of the copied matrices, a fraction of the weights; the file is a control-LoRA then.
    None learns them whole.
    ucg_rate: part of the examples trained with the empty text, so that the picture has to tell what is there.
    """

    kind: Literal["controlnet"]
    base: BaseModelRecipe
    hint: HintRecipe = field(default_factory=CannyRecipe)
    hint_channels: tuple[int, int, int, int] = (16, 32, 96, 256)
    rank: int | None = None
    ucg_rate: float = 0.5
    loss: LossRecipe = field(default_factory=LossRecipe)

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise ValueError("rank is at least 1, or null")

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module. Raises CheckpointError, and ConfigError for a base that is no text-to-image U-Net."""
        base = self.base.open(context)
        form = base.model.form
        if not isinstance(form, UNetForm) or form.in_channels != form.latent_format.num_channels:
            raise ConfigError(
                f"{base.path.name} has no U-Net for text to image.",
                hint="Name a Stable Diffusion 1, 2 or XL checkpoint for text to image.",
            )
        unet = base.network()
        config = ControlNetConfig(form.config, (_COLOURS, *self.hint_channels))
        control = copied_control(unet, config, context.seed)
        if self.base.uses_checkpointing:
            control.recompute_activations()
        changes = None if self.rank is None else learns_at_rank(control, self.rank, context.seed)
        return assemble(
            base,
            ControlledNetwork(unet, control),
            base.texts(),
            self.loss,
            context,
            learned=LearnedControl(control, changes, self.hint),
            ucg_rate=self.ucg_rate,
            more=(self.hint.build(context, "hint"),),
            caller=ControlledCall(form),
        )


@dataclass(frozen=True, slots=True)
class ControlExportRecipe:
    """The control network alone, by the keys of published ControlNets or, with a rank, of control-LoRAs.

    file: below the run folder unless absolute.

    title, author, license, description: entries of the header.
    """

    kind: Literal["controlnet"]
    file: Path = Path("control.safetensors")
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    title: str = ""
    author: str = ""
    license: str = ""
    description: str = ""

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """Write the weights as they are. Raises ConfigError when the run is none of a control network."""
        learned = learned_by(module, LearnedControl, "a control network")
        dtype = _DTYPES[self.dtype]
        rounded = {name: weight.detach().to("cpu", dtype) for name, weight in learned.tensors().items()}
        for key, weight in rounded.items():
            if not torch.isfinite(weight).all():
                raise ConfigError(
                    f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run."
                )
        own = {f"modelspec.{key}": getattr(self, key) for key in ("title", "author", "license", "description")}
        about = {**own, HINT_ENTRY: json.dumps(to_plain(learned.hint)), **facts}
        header = {key: value for key, value in about.items() if value}
        path.parent.mkdir(parents=True, exist_ok=True)
        specs = {key: (dtype, tuple(weight.shape)) for key, weight in rounded.items()}
        write_safetensors(path, specs, rounded.__getitem__, header)
