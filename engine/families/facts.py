"""What a weight file is: its family and kind, its parts, what it predicts, and the keys nothing explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.errors import AtelierError, CheckpointError
from engine.families.adapters.description import describe_adapter
from engine.families.autoencoder.opening import open_autoencoder
from engine.families.contract import FamilyServices
from engine.families.known_layouts import describe_layout
from engine.families.loose_parts import open_network, open_text_encoders
from engine.families.registry import FamilyRegistry
from engine.weights.adapters.keys import read_modules
from engine.weights.checkpoint import Checkpoint

__all__ = ["FileFacts", "PartFacts", "describe_file"]

_PARTS = (
    ("model.diffusion_model.", "network"),
    ("cond_stage_model.", "text encoder"),
    ("conditioner.embedders.0.", "first text encoder"),
    ("conditioner.embedders.1.", "second text encoder"),
    ("first_stage_model.", "autoencoder"),
    ("model_ema.", "moving average"),
    ("control_model.", "ControlNet"),
    ("embedder.", "image encoder"),
    ("depth_model.", "depth estimator"),
)
_WHOLE = "whole file"
_REST = "other"


@dataclass(frozen=True, slots=True)
class PartFacts:
    """One part of a file. num_bytes: by dtype, in the spelling of safetensors."""

    name: str
    num_tensors: int
    num_values: int
    num_bytes: Mapping[str, int]

    @property
    def dtype(self) -> str:
        """The dtype most of its bytes have."""
        return max(self.num_bytes, key=lambda dtype: self.num_bytes[dtype], default="")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as the engine sees it.

    family: folder name, None for files of no family. prediction: what its network predicts, and the levels.
    problem: why it cannot be opened, None when it can. unexplained: keys that are unknown, missing or misshapen.
    """

    family: str | None
    kind: str
    description: str
    parts: tuple[PartFacts, ...]
    prediction: str | None = None
    problem: str | None = None
    unexplained: tuple[str, ...] = ()


def describe_file(checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices | None) -> FileFacts:
    """Look at a file's keys and, with services, open it. Reads headers and a few small tensors."""
    parts = _parts(checkpoint)
    try:
        match = registry.detect(checkpoint.path.name, checkpoint.shapes)
    except CheckpointError:
        return _describe_other(checkpoint, registry, services, parts)
    names = {part.name for part in parts}
    kind = "checkpoint" if any("text encoder" in name or name == "autoencoder" for name in names) else "network"
    if services is None:
        return FileFacts(match.family, kind, match.description, parts)
    try:
        model = registry.family(match).open(checkpoint, match, services).model
    except CheckpointError as error:
        return FileFacts(match.family, kind, match.description, parts, None, error.message, _keys(error))
    return FileFacts(match.family, kind, match.description, parts, _prediction(model))


def _describe_other(
    checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices | None, parts: tuple[PartFacts, ...]
) -> FileFacts:
    """A file of one part, or of nothing that is opened here."""
    shapes = checkpoint.shapes
    phrase = describe_layout(shapes)
    modules = read_modules(checkpoint).modules
    if modules and phrase == "a LoRA":
        return FileFacts(None, "adapter", describe_adapter(modules), parts)
    kind = next((kind for kind in _KINDS if kind in phrase), "other")
    if services is None or kind == "other":
        return FileFacts(None, _KINDS.get(kind, kind), phrase, parts)
    try:
        opened = _open(_KINDS[kind], checkpoint, registry, services)
    except AtelierError as error:
        return FileFacts(None, _KINDS[kind], phrase, parts, None, error.message, _keys(error))
    prediction = _prediction(opened) if _KINDS[kind] == "network" else None
    return FileFacts(getattr(opened, "family", None), _KINDS[kind], phrase, parts, prediction)


_KINDS: Mapping[str, str] = {
    "a U-Net in diffusers form": "network", "a CLIP text encoder": "text encoder", "an autoencoder": "autoencoder",
    "a ControlNet": "ControlNet", "a textual inversion": "embedding",
}  # fmt: skip
"""Beginning of what a layout is called → kind of file."""


def _open(kind: str, checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices) -> Any:
    if kind == "network":
        return open_network(checkpoint, registry, services, None)
    if kind == "text encoder":
        return open_text_encoders([checkpoint], registry, services)
    if kind == "autoencoder":
        return open_autoencoder(checkpoint, services.host("vae"), lambda: services.digest(checkpoint.path))
    return None


def _parts(checkpoint: Checkpoint) -> tuple[PartFacts, ...]:
    groups: dict[str, list[str]] = {}
    for key in checkpoint.tensors:
        name = next((name for prefix, name in _PARTS if key.startswith(prefix)), _REST)
        groups.setdefault(name, []).append(key)
    if set(groups) == {_REST}:
        groups = {_WHOLE: groups[_REST]}
    order = {name: place for place, (_, name) in enumerate(_PARTS)}
    return tuple(
        _part(name, groups[name], checkpoint) for name in sorted(groups, key=lambda name: order.get(name, len(order)))
    )


def _part(name: str, keys: list[str], checkpoint: Checkpoint) -> PartFacts:
    num_bytes: Counter[str] = Counter()
    num_values = 0
    for key in keys:
        info = checkpoint.tensors[key]
        num_bytes[info.dtype] += info.num_bytes
        count = 1
        for size in info.shape:
            count *= size
        num_values += count
    return PartFacts(name, len(keys), num_values, dict(num_bytes))


def _prediction(model: Any) -> str | None:
    if model is None:
        return None
    table = model.parameterization.sigma_table
    name = type(model.parameterization.prediction).__name__.removesuffix("Prediction").lower()
    return f"{name}, noise levels {table.sigma_min:.4g} to {table.sigma_max:.4g}"


def _keys(error: AtelierError) -> tuple[str, ...]:
    return tuple((error.details or {}).get("keys", ()))
