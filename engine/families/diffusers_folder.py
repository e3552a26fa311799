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
    """The weight files of a folder: of each part one file, or the pieces it is stored in; nothing where it has none.

    texts: the text encoders, in order.
    """

    network: tuple[Path, ...]
    texts: tuple[tuple[Path, ...], ...]
    vae: tuple[Path, ...]
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
    network = next((paths for name in _NETWORKS if (paths := _files(folder / name))), ())
    if not network:
        raise CheckpointError(
            f"{folder.name} has no U-Net.", code="no_network", hint="It belongs into its unet folder."
        )
    texts = tuple(paths for name in _TEXTS if (paths := _files(folder / name)))
    return DiffusersFolder(
        network, texts, _files(folder / "vae"), _config(folder / "scheduler" / "scheduler_config.json")
    )


def _files(folder: Path) -> tuple[Path, ...]:
    """The weight file of a part: safetensors before pickles, whole precision before variants; or its pieces."""
    for suffix in (".safetensors", ".bin"):
        for variant in _VARIANTS:
            for name in _NAMES:
                path = folder / f"{name}{variant}{suffix}"
                if path.is_file():
                    return (path,)
    indexes = sorted(folder.glob("*.index.json"), key=lambda path: (".bin." in path.name, len(path.name)))
    return _pieces(indexes[0]) if indexes else ()


def _pieces(index: Path) -> tuple[Path, ...]:
    """The files an index names, which lie beside it. Raises CheckpointError for others, or when one is not there."""
    places = _config(index).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise CheckpointError(
            f"{index.name} does not name the files that lie beside it.",
            code="bad_config",
            hint="Download the folder again.",
        )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent.name} lacks {len(missing)} of its {len(names)} pieces: {', '.join(missing[:5])}.",
            code="sharded_weights",
            hint="Download the missing files into the folder.",
        )
    return tuple(index.parent / name for name in names)


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _MAX_CONFIG_BYTES:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}", code="bad_config") from error
    return found if isinstance(found, dict) else {}
