"""Folders as diffusers saves them: each part of a model in a sub-folder, with a configuration beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.core.errors import CheckpointError
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.diffusion.sigma_table import DiscreteSigmaTable, zero_terminal

__all__ = ["DiffusersFolder", "read_diffusers_folder"]

_INDEX = "model_index.json"
_NETWORKS = ("unet",)
_TEXTS = ("text_encoder", "text_encoder_2")
_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model")
_VARIANTS = ("", ".fp16", ".fp32", ".bf16")
_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DiffusersFolder:
    """The weight files of a folder; text encoders in order, None or nothing for what is not there."""

    network: Path
    texts: tuple[Path, ...]
    vae: Path | None
    scheduler: Mapping[str, Any] = field(default_factory=dict)

    def parameterization(self, usual: Parameterization) -> Parameterization:
        """What the folder's scheduler says the network predicts and over which levels; else the usual."""
        stated = {"epsilon": EpsPrediction(), "v_prediction": VPrediction()}.get(
            str(self.scheduler.get("prediction_type"))
        )
        if stated is None or not isinstance(usual.sigma_table, DiscreteSigmaTable):
            return usual
        changed = replace(usual, prediction=stated)
        if self.scheduler.get("rescale_betas_zero_snr") is True:
            return replace(changed, sigma_table=zero_terminal(usual.sigma_table))
        return changed


def read_diffusers_folder(folder: Path) -> DiffusersFolder:
    """Find the weight files. Raises CheckpointError for a folder of another kind, or one without a network."""
    if not (folder / _INDEX).is_file():
        raise CheckpointError(f"{folder} has no {_INDEX}.", code="no_folder", hint="Name a folder saved by diffusers.")
    network = next((path for name in _NETWORKS if (path := _weights(folder / name)) is not None), None)
    if network is None:
        raise CheckpointError(
            f"{folder.name} has no U-Net.", code="no_network", hint="It belongs into its unet folder."
        )
    texts = tuple(path for name in _TEXTS if (path := _weights(folder / name)) is not None)
    return DiffusersFolder(
        network, texts, _weights(folder / "vae"), _config(folder / "scheduler" / "scheduler_config.json")
    )


def _weights(folder: Path) -> Path | None:
    """The weight file of a part: safetensors before pickles, whole precision before variants."""
    for suffix in (".safetensors", ".bin"):
        for variant in _VARIANTS:
            for name in _NAMES:
                path = folder / f"{name}{variant}{suffix}"
                if path.is_file():
                    return path
    pieces = sorted(folder.glob("*.index.json")) if folder.is_dir() else []
    if pieces:
        raise CheckpointError(
            f"{folder.name} is stored in several pieces, which are not put together here.",
            code="sharded_weights",
            hint="Save the model again with a larger maximum size of a piece.",
        )
    return None


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _MAX_CONFIG_BYTES:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}", code="bad_config") from error
    return found if isinstance(found, dict) else {}
