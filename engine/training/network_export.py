"""Writing a trained first stage, preview decoder or upscaler as a file of its published key layout."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from engine.core.digest import digest_value
from engine.training.autoencoder.latent_scale import LatentStatistics, normalise_latents
from engine.training.autoencoder.module import AutoencoderModule
from engine.training.autoencoder.posterior import GaussianPosterior
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Batch
from engine.training.picture_module import PictureModule
from engine.weights.writer import write_safetensors

__all__ = ["NetworkExportRecipe", "export_network"]

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class NetworkExportRecipe:
    """The trained network alone, under the keys of the published files of its kind.

    file: below the run folder unless absolute. title, author, license, description: entries of the header.
    num_measured: pictures whose latents are measured, for an autoencoder; the header tells their mean and deviation.
    normalise_latent_std: give an autoencoder's latents mean 0 and this standard deviation, without changing what it
        makes of pictures; 1 / 0.18215 = 5.49 for the scale of Stable Diffusion 1.
    """

    kind: Literal["network"]
    file: Path = Path("model.safetensors")
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    title: str = ""
    author: str = ""
    license: str = ""
    description: str = ""
    num_measured: int = 256
    normalise_latent_std: float | None = None

    def __post_init__(self) -> None:
        if self.num_measured < 1:
            raise ValueError("num_measured is at least 1")
        if self.normalise_latent_std is not None and self.normalise_latent_std <= 0:
            raise ValueError("normalise_latent_std is positive")


def export_network(
    module: PictureModule, recipe: NetworkExportRecipe, path: Path, facts: Mapping[str, str], batches: Iterable[Batch]
) -> dict[str, Any]:
    """Write the module's weights as they are (swap the average in first); the module stays as it is.

    Args:
        facts: further entries of the header.
        batches: pictures to measure latents of; read for an autoencoder only.

    Returns what was measured, for the run's report. Raises ConfigError: a weight does not fit the dtype, or the recipe
    wants latents of a module that has none.
    """
    measured: dict[str, Any] = {}
    if isinstance(module, AutoencoderModule):
        module, measured = _measured(module, recipe, batches)
    elif recipe.normalise_latent_std is not None:
        raise ConfigError(
            "export.normalise_latent_std is for autoencoders.", hint="Leave it out for other kinds of model."
        )
    tensors = module.exported()
    dtype = _DTYPES[recipe.dtype]
    specs = {key: (dtype, tuple(tensor.shape)) for key, tensor in tensors.items()}
    own = {f"modelspec.{key}": getattr(recipe, key) for key in ("title", "author", "license", "description")}
    about = {"atelier.recipe": digest_value(to_plain(module.recipe)), **facts}  # type: ignore[attr-defined]
    about |= {f"atelier.{key}": str(value) for key, value in measured.items()}
    header = {key: value for key, value in {**own, **about}.items() if value}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, specs, lambda key: _rounded(key, tensors[key], dtype), header)
    return measured


def _measured(
    module: AutoencoderModule, recipe: NetworkExportRecipe, batches: Iterable[Batch]
) -> tuple[AutoencoderModule, dict[str, Any]]:
    """The module to write, its latents normalised if that is wanted, and the statistics of its latents."""
    statistics = LatentStatistics.of(_posteriors(module, batches, recipe.num_measured))
    measured: dict[str, Any] = {"latent_std_trained": round(statistics.deviation, 5)}
    if recipe.normalise_latent_std is not None:
        module = copy.deepcopy(module)
        statistics = normalise_latents(module.network, statistics, recipe.normalise_latent_std)
    measured |= {
        "latent_std": round(statistics.deviation, 5),
        "latent_scale": round(1.0 / statistics.deviation, 5) if statistics.deviation else 0.0,
        "latent_channel_means": [round(mean, 4) for mean in statistics.means],
        "latent_channel_stds": [round(deviation, 4) for deviation in statistics.deviations],
        "latent_pictures": statistics.num_pictures,
    }
    return module, measured


@torch.no_grad()
def _posteriors(module: AutoencoderModule, batches: Iterable[Batch], num: int) -> Iterable[GaussianPosterior]:
    was_training = module.training
    module.eval()
    left = num
    for batch in islice(batches, num):
        posterior = module.encode(module.pixels(batch)[:left])
        yield posterior
        left -= len(posterior.mean)
        if left <= 0:
            break
    module.train(was_training)


def _rounded(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight in the file's dtype. Raises ConfigError when it does not fit."""
    rounded = tensor.detach().to(dtype)
    if not torch.isfinite(rounded).all():
        raise ConfigError(f"{key} is not finite in {dtype}.", hint="Set export.dtype=fp32, or look for a diverged run.")
    return rounded
