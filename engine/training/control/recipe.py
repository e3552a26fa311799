"""Training a control network, and its export in the published key layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from engine.families.unet.form import UNetForm
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.training.adapters.base_model import BaseModelRecipe, LossRecipe, assemble, learned_by
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.control.edges import CannyRecipe
from engine.training.control.network import ControlledCall, ControlledNetwork, copied_control
from engine.training.diffusion_module import DiffusionModule
from engine.weights.writer import write_safetensors

__all__ = ["ControlExportRecipe", "ControlNetRecipe", "LearnedControl"]

_COLOURS = 3
_PREFIX = "control_model."
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class LearnedControl:
    """The control network that was trained."""

    network: ControlNet


@dataclass(frozen=True, slots=True)
class ControlNetRecipe:
    """hint: what the network is shown. hint_channels: widths of its maps of the picture, from the picture's own size.

    ucg_rate: part of the examples trained with the empty text, so that the picture has to tell what is there.
    """

    kind: Literal["controlnet"]
    base: BaseModelRecipe
    hint: CannyRecipe = field(default_factory=CannyRecipe)
    hint_channels: tuple[int, int, int, int] = (16, 32, 96, 256)
    ucg_rate: float = 0.5
    loss: LossRecipe = field(default_factory=LossRecipe)

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
        return assemble(
            base,
            ControlledNetwork(unet, control),
            base.texts(),
            self.loss,
            context,
            learned=LearnedControl(control),
            ucg_rate=self.ucg_rate,
            more=(self.hint.build(context, "hint"),),
            caller=ControlledCall(form),
        )


@dataclass(frozen=True, slots=True)
class ControlExportRecipe:
    """The control network alone, by the keys of the published ControlNets. file: below the run folder unless absolute.

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
        weights = learned_by(module, LearnedControl, "a control network").network.state_dict()
        dtype = _DTYPES[self.dtype]
        rounded = {_PREFIX + name: weight.detach().to("cpu", dtype) for name, weight in weights.items()}
        for key, weight in rounded.items():
            if not torch.isfinite(weight).all():
                raise ConfigError(
                    f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run."
                )
        own = {f"modelspec.{key}": getattr(self, key) for key in ("title", "author", "license", "description")}
        header = {key: value for key, value in {**own, **facts}.items() if value}
        path.parent.mkdir(parents=True, exist_ok=True)
        specs = {key: (dtype, tuple(weight.shape)) for key, weight in rounded.items()}
        write_safetensors(path, specs, rounded.__getitem__, header)
