"""What a weight file is: its family and kind, its parts, what it predicts, and the keys nothing explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.errors import AtelierError, CheckpointError
from engine.families.adapters.description import describe_adapter
from engine.families.adapters.hypernetwork import open_hypernetwork
from engine.families.autoencoder.opening import open_autoencoder
from engine.families.contract import FamilyServices
from engine.families.known_layouts import describe_layout
from engine.families.loose_parts import open_network, open_text_encoders
from engine.families.odd_sizes import refusing_odd_sizes
from engine.families.registry import FamilyRegistry
from engine.families.upscaler.opening import open_upscaler
from engine.families.vision.identity import open_identity
from engine.families.vision.opening import open_image_encoder
from engine.families.vision.style import open_style
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
    problem: why it cannot be opened, None when it can; remedy: what to do then. unexplained: keys that are unknown,
    missing or misshapen.
    """

    family: str | None
    kind: str
    description: str
    parts: tuple[PartFacts, ...]
    prediction: str | None = None
    problem: str | None = None
    unexplained: tuple[str, ...] = ()
    remedy: str | None = None


def describe_file(checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices | None) -> FileFacts:
    """Look at a file's keys and, with services, open it. Reads headers and a few small tensors.

    Raises CheckpointError for a file whose tensors have sizes that no network has.
    """
    with refusing_odd_sizes((checkpoint,)):
        return _describe(checkpoint, registry, services)


def _describe(checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices | None) -> FileFacts:
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
        return FileFacts(match.family, kind, match.description, parts, None, error.message, _keys(error), error.hint)
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
    kind = next((kind for start, kind in _KINDS if start in phrase), _OTHER)
    if kind == _OTHER and any(key in shapes for key in _UPSCALER_KEYS):
        kind, phrase = "upscaler", "an upscaler"
    if services is None or kind not in _OPENERS:
        return FileFacts(None, kind, phrase, parts)
    try:
        opened = _OPENERS[kind](checkpoint, registry, services)
    except AtelierError as error:
        return FileFacts(None, kind, phrase, parts, None, error.message, _keys(error), error.hint)
    prediction = _prediction(opened) if kind == "network" else None
    return FileFacts(getattr(opened, "family", None), kind, phrase, parts, prediction)


_OTHER = "other"
_KINDS = (
    ("a U-Net in diffusers form", "network"),
    ("a CLIP text encoder", "text encoder"),
    ("a CLIP image encoder", "image encoder"),
    ("an autoencoder", "autoencoder"),
    ("a ControlNet", "ControlNet"),
    ("T2I-Adapter", "ControlNet"),
    ("a GLIGEN", "GLIGEN"),
    ("a style adapter", "style adapter"),
    ("a hypernetwork", "hypernetwork"),
    ("a PhotoMaker file", "PhotoMaker"),
    ("a textual inversion", "embedding"),
)
"""What a layout is called → kind of file."""

_UPSCALER_KEYS = ("body.0.rdb1.conv1.weight", "model.1.sub.0.RDB1.conv1.0.weight", "RRDB_trunk.0.RDB1.conv1.weight")


def _digest(checkpoint: Checkpoint, services: FamilyServices) -> Callable[[], str]:
    return lambda: services.digest(checkpoint.path)


_OPENERS: Mapping[str, Callable[[Checkpoint, FamilyRegistry, FamilyServices], Any]] = {
    "network": lambda file, registry, services: open_network(file, registry, services, None),
    "text encoder": lambda file, registry, services: open_text_encoders([file], registry, services),
    "image encoder": lambda file, registry, services: open_image_encoder(
        file, services.host("text_encoder"), _digest(file, services)
    ),
    "autoencoder": lambda file, registry, services: open_autoencoder(
        file, services.host("vae"), _digest(file, services)
    ),
    "style adapter": lambda file, registry, services: open_style(
        file, services.host("text_encoder"), _digest(file, services)
    ),
    "PhotoMaker": lambda file, registry, services: open_identity(
        file, services.host("text_encoder"), _digest(file, services)
    ),
    "hypernetwork": lambda file, registry, services: open_hypernetwork(file),
    "upscaler": lambda file, registry, services: open_upscaler(
        file, services.host("upscaler"), _digest(file, services)
    ),
}
"""Kind of file → what shows whether all its keys are understood."""


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
