"""Weights on their way from the host to an accelerator, one layer ahead of the forward that needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from engine.memory.device import Device

__all__ = ["Prefetcher"]


class _Readable(Protocol):
    def read(self, name: str) -> torch.Tensor: ...


class Prefetcher:
    """Copies layers to a device on a stream of its own. The order of use is learned in the first forward.

    Where the device has no streams, copies happen when asked for. Used by one thread at a time.

    Args:
        source: where weights are read.
        device: where they go.
        convert: a weight's name and its private copy on the device, as stored → as the layer uses it.
        layers: layer name → names of its weights.
    """

    def __init__(
        self,
        source: _Readable,
        device: Device,
        convert: Callable[[str, torch.Tensor], torch.Tensor],
        layers: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._source = source
        self._device = device.torch
        self._convert = convert
        self._layers = layers
        self._following: dict[str, str] = {}
        self._last: str | None = None
        self._arriving: dict[str, tuple[dict[str, torch.Tensor], torch.Event | None]] = {}
        self._stream = torch.Stream(self._device) if device.kind in ("cuda", "xpu") else None

    def take(self, layer: str) -> dict[str, torch.Tensor]:
        """The layer's weights on the device, converted and private to the caller; starts the next layer."""
        if self._last is not None:
            self._following[self._last] = layer
        self._last = layer
        if layer not in self._arriving:
            self._start(layer)
        weights, event = self._arriving.pop(layer)
        # A layer that was fetched because it came next last time, but did not now, would hold its bytes for ever.
        self._arriving.clear()
        if event is not None:
            current = torch.accelerator.current_stream(self._device)
            current.wait_event(event)
            for weight in weights.values():
                weight.record_stream(current)
        following = self._following.get(layer)
        if following is not None:
            self._start(following)
        return {name: self._convert(name, weight) for name, weight in weights.items()}

    def close(self) -> None:
        """Forget what is on its way."""
        self._arriving.clear()

    def _start(self, layer: str) -> None:
        names = self._layers[layer]
        if self._stream is None:
            self._arriving[layer] = ({name: self._copy(name) for name in names}, None)
            return
        with self._stream:
            weights = {name: self._copy(name) for name in names}
            event = torch.Event(self._device)
            event.record(self._stream)
        self._arriving[layer] = (weights, event)

    def _copy(self, name: str) -> torch.Tensor:
        stored = self._source.read(name)
        if self._stream is None:
            return stored.to(self._device, copy=True)
        # Pinned memory lets the copy overlap with compute; the pinned block lives until the stream has read it.
        return stored.pin_memory().to(self._device, non_blocking=True)
