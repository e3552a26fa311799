"""Opening hypernetwork files: for each width of tokens, two small networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from engine.core.errors import CheckpointError
from engine.families.known_layouts import describe_layout
from engine.nn.edits.hyper_network import ACTIVATIONS, ContextNetwork, HyperNetwork, Stage
from engine.weights.checkpoint import Checkpoint

__all__ = ["HypernetworkFile", "open_hypernetwork"]

_KEY = re.compile(r"(\d+)\.([01])\.linear\.?(\d+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class HypernetworkFile:
    """An opened hypernetwork at strength 1."""

    edit: HyperNetwork = field(repr=False)

    def apply(self, model: Any, strength: float = 1.0) -> Any:
        """The model with the hypernetwork; strength 0 gives the same handle back."""
        return model if strength == 0 else model.with_edit(replace(self.edit, strength=strength))


def open_hypernetwork(checkpoint: Checkpoint) -> HypernetworkFile:
    """The hypernetwork of a file. Its tensors are read. Raises CheckpointError naming what the file is when it is none.

    The activation is among the text entries of the file (of a pickle: its top-level values).
    """
    groups: dict[tuple[int, int], dict[int, dict[str, str]]] = {}
    for key in checkpoint.tensors:
        match = _KEY.fullmatch(key)
        if match is not None:
            place = (int(match[1]), int(match[2]))
            groups.setdefault(place, {}).setdefault(int(match[3]), {})[match[4]] = key
    widths = sorted({width for width, _ in groups})
    if not widths or any((width, part) not in groups for width in widths for part in (0, 1)):
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(checkpoint.shapes)}, not a hypernetwork.",
            code="unknown_hypernetwork",
            hint="Files of the Stable Diffusion web interface are read.",
        )
    activation = checkpoint.metadata.get("activation_func", "linear").lower()
    activation = {"none": "linear", "": "linear"}.get(activation, activation)
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{checkpoint.path.name} needs the activation {activation!r}, which is not known here.",
            code="unknown_hypernetwork",
            hint=f"Known are {', '.join(sorted(ACTIVATIONS))}.",
        )
    activates_last = checkpoint.metadata.get("activate_output", "False") == "True"
    networks = {
        width: (
            ContextNetwork(_stages(checkpoint, groups[width, 0], activates_last), activation),
            ContextNetwork(_stages(checkpoint, groups[width, 1], activates_last), activation),
        )
        for width in widths
    }
    return HypernetworkFile(HyperNetwork(checkpoint.identity, networks))


def _stages(checkpoint: Checkpoint, layers: Mapping[int, Mapping[str, str]], activates_last: bool) -> tuple[Stage, ...]:
    """Linear maps in order; a layer with vectors only is the norm of the map before it."""
    stages: list[Stage] = []
    for number in sorted(layers):
        keys = layers[number]
        if set(keys) != {"weight", "bias"}:
            raise CheckpointError(
                f"{checkpoint.path.name} lacks a part of layer {number}.", code="unknown_hypernetwork"
            )
        weight, bias = (_read(checkpoint, keys[name]) for name in ("weight", "bias"))
        if weight.ndim == 2:
            stages.append(Stage(weight, bias, is_activated=True))
        elif stages:
            stages[-1] = replace(stages[-1], norm=(weight, bias))
    if stages and not activates_last:
        stages[-1] = replace(stages[-1], is_activated=False)
    return tuple(stages)


def _read(checkpoint: Checkpoint, key: str) -> Tensor:
    return checkpoint.tensor(key).float().clone()
