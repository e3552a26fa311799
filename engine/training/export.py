"""Writing a trained model as a checkpoint of a published key layout, which the engine's own detection opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.sd1.config import HEADS_MARKER, Sd1Config
from engine.families.sd1.detect import detect
from engine.families.sd1.network import LATENT_FORMAT, parameterization
from engine.families.unet.latents import COLOURS_MARK, LATENTS_ENTRY
from engine.nn.unet import UNet
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.diffusion_module import DiffusionModule
from engine.training.first_stage import AutoencoderStage
from engine.training.latent_colours import latent_colours
from engine.weights.writer import write_safetensors

__all__ = ["Sd1ExportRecipe", "export_sd1"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Sd1ExportRecipe:
    """Stable Diffusion 1's keys: U-Net, one CLIP text encoder and the first stage in one file.

    file: below the run folder unless absolute. title, author, license, description: entries of the header.
    latents: a name for the autoencoder's latents, in lower case; how they look is written down for live previews.
        Empty when they are those of Stable Diffusion's own autoencoder, whose looks are known.
    """

    kind: Literal["sd1"]
    file: Path = Path("model.safetensors")
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    title: str = ""
    author: str = ""
    license: str = ""
    description: str = ""
    latents: str = "own"

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """As `export_sd1`."""
        export_sd1(module, self, path, facts)

    def metadata(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Header entries, those that say something."""
        own = {f"modelspec.{key}": getattr(self, key) for key in ("title", "author", "license", "description")}
        return {key: value for key, value in {**own, LATENTS_ENTRY: self.latents, **facts}.items() if value}


def export_sd1(
    module: DiffusionModule, recipe: Sd1ExportRecipe, path: Path, facts: Mapping[str, str] | None = None
) -> None:
    """Write the module's weights as they are (swap the average in first).

    Raises ConfigError when the model is none that Stable Diffusion 1's layout can say.
    """
    tensors = _tensors(module)
    _check(module, {key: tuple(tensor.shape) for key, tensor in tensors.items()})
    if recipe.latents:
        tensors[COLOURS_MARK] = latent_colours(module.first_stage)
    dtype = _DTYPES[recipe.dtype]
    specs = {key: (dtype, tuple(tensor.shape)) for key, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"atelier.recipe": digest_value(to_plain(module.recipe)), **(facts or {})}
    write_safetensors(path, specs, lambda key: _rounded(key, tensors[key], dtype), recipe.metadata(about))


def _tensors(module: DiffusionModule) -> dict[str, Tensor]:
    """The layout's keys with the module's weights."""
    network, stage, text = module.network, module.first_stage, module.conditioner.text
    if not isinstance(network, UNet):
        raise ConfigError("Only a U-Net can be exported as Stable Diffusion 1.", hint="Leave out export.")
    if not isinstance(stage, AutoencoderStage):
        raise ConfigError("Stable Diffusion 1 has an autoencoder as first stage.", hint="Leave out export.")
    if text is None or len(module.conditioner.parts) != 1 or text.recipe.pooled != "none" or text.recipe.layer != -1:
        raise ConfigError(
            "Stable Diffusion 1 is conditioned on the last layer of one CLIP text encoder and on nothing else.",
            hint="Leave out export, or change model.conditioner.",
        )
    parts: dict[str, nn.Module] = {
        "model.diffusion_model.": network,
        "cond_stage_model.transformer.": text.transformer,
        "first_stage_model.": stage.autoencoder,
    }
    found = {prefix + name: weight for prefix, part in parts.items() for name, weight in part.state_dict().items()}
    if isinstance(module.parameterization.prediction, VPrediction):
        found["v_pred"] = torch.zeros(0)
    if network.config.head_channels is not None:
        found[HEADS_MARKER] = torch.zeros(network.config.head_channels)
    return found


def _check(module: DiffusionModule, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The file must mean what was trained: same sizes, same noise levels, same latents."""
    prediction = module.parameterization.prediction
    is_v = isinstance(prediction, VPrediction)
    if not isinstance(prediction, EpsPrediction | VPrediction) or (
        module.parameterization.identity != parameterization(is_v).identity
    ):
        raise ConfigError(
            "Stable Diffusion 1 predicts eps or v over its own thousand steps.",
            hint="Train with the default discrete table and sigma_data, or leave out export.",
        )
    form = module.first_stage.latent_format
    if (form.scale, form.shift) != (LATENT_FORMAT.scale, 0.0):
        raise ConfigError(f"Stable Diffusion 1 scales its latents by {LATENT_FORMAT.scale}, not {form.scale}.")
    match = detect(shapes)
    if match is None:
        raise ConfigError("The file would not be recognised as Stable Diffusion 1.", hint="Leave out export.")
    found: Sd1Config = match.config
    text = module.conditioner.text
    pairs = {
        "U-Net": (module.network.config, found.unet),
        "text encoder": (None if text is None else text.config, found.text),
    }
    for name, (config, seen) in pairs.items():
        if config != seen:
            raise ConfigError(
                f"The {name} would be read as {seen}, but it is {config}.",
                hint="Files do not tell numbers of heads: the U-Net has 8 or sets head_channels, text has heads of 64.",
            )


def _rounded(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight in the file's dtype. Raises ConfigError when it does not fit."""
    rounded = tensor.detach().to(dtype)
    if rounded.numel() and not torch.isfinite(rounded).all():
        raise ConfigError(f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run.")
    return rounded
