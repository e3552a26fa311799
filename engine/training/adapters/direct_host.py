"""Model handles whose networks are modules under training: the families' own code, with gradients through it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from engine.families.text.clip_encoder import ClipTextEncoder, TextTools
from engine.memory.device import Device, cpu_device
from engine.memory.network import NetworkHost, NetworkSource
from engine.memory.precision import PrecisionPolicy
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["DirectHost", "retargeted", "text_encoders"]

T = TypeVar("T")


class DirectHost(NetworkHost):
    """Runs modules it was given, wherever they are, with gradients; it loads, moves and frees nothing."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__(cpu_device(), 0, PrecisionPolicy(force_float32=True))
        self._given = networks

    def go_to(self, device: torch.device) -> None:
        """Say where the modules are now."""
        self.device = Device(device.type, device.index or 0)

    def max_batch(self, item_bytes: int, wanted: int) -> int:
        """All at once."""
        return wanted

    def activation_bytes(self, source: NetworkSource, shape: Sequence[object], num_items: int, estimate: int) -> int:
        """The estimate: nothing is measured where nothing is planned."""
        return estimate

    def run(
        self,
        source: NetworkSource,
        forward: Callable[[nn.Module], T],
        *,
        activation_bytes: int = 0,
        patches: PatchSet = NO_PATCHES,
        shape: Sequence[object] | None = None,
        num_items: int = 1,
    ) -> T:
        """Call `forward` with the module of this source. Patches are in its weights already."""
        return forward(self._given[source.identity])


def text_encoders(handle: Any) -> Iterator[ClipTextEncoder]:
    """The encoders a CLIP handle consists of, in order."""
    if isinstance(handle, ClipTextEncoder):
        yield handle
        return
    for field in dataclasses.fields(handle):
        value = getattr(handle, field.name)
        if _is_handle(value):
            yield from text_encoders(value)


def retargeted(handle: T, host: NetworkHost, tools: Callable[[TextTools], TextTools] | None = None) -> T:
    """The same handle with its networks on another host, and its text tools changed."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(handle):  # type: ignore[arg-type]
        value = getattr(handle, field.name)
        if isinstance(value, NetworkHost):
            changes[field.name] = host
        elif isinstance(value, TextTools):
            changes[field.name] = value if tools is None else tools(value)
        elif _is_handle(value):
            changes[field.name] = retargeted(value, host, tools)
    return dataclasses.replace(handle, **changes)  # type: ignore[type-var]


def _is_handle(value: Any) -> bool:
    """A handle within a handle: a dataclass with a host somewhere in it."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type | NetworkSource | TextTools):
        return False
    fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
    return any(isinstance(item, NetworkHost) or _is_handle(item) for item in fields)
