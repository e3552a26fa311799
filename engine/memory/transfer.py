"""Weights on their way from the host to an accelerator, one layer ahead of the forward that needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

import torch

from engine.core.background import BackgroundThread
from engine.memory.device import Device

__all__ = ["Prefetcher", "StagingBuffers"]

_ALIGNMENT_BYTES = 64
_NUM_BUFFERS = 2

_Arrival = tuple[dict[str, torch.Tensor], "torch.Event | None"]


class _Readable(Protocol):
    def read(self, name: str) -> torch.Tensor: ...


class Prefetcher:
    """Brings layers to a device on a thread and a stream of its own. The order of use is learned in the first forward.

    Reading mapped pages and copying them into pinned memory takes time; the thread that computes waits for that only
    when a layer is wanted before it is there. Where the device has no streams, layers are read ahead and copied to the
    device when asked for. Used by one thread at a time.

    Args:
        source: where weights are read, on the other thread.
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
        self._arriving: dict[str, Future[_Arrival]] = {}
        self._stream = torch.Stream(self._device) if device.kind in ("cuda", "xpu") else None
        self._buffers = StagingBuffers(is_pinned=self._stream is not None)
        self._thread = BackgroundThread("weights")

    def take(self, layer: str) -> dict[str, torch.Tensor]:
        """The layer's weights on the device, converted and private to the caller; starts the next layer.

        Raises what reading or copying them raised.
        """
        if self._last is not None:
            self._following[self._last] = layer
        self._last = layer
        if layer not in self._arriving:
            self._start(layer)
        arriving = self._arriving.pop(layer)
        # A layer that was fetched because it came next last time, but did not now, would hold its bytes for ever.
        self.close()
        weights, event = arriving.result()
        if event is None:
            weights = {name: weight.to(self._device, copy=True) for name, weight in weights.items()}
        else:
            current = torch.accelerator.current_stream(self._device)
            current.wait_event(event)
            for weight in weights.values():
                weight.record_stream(current)
        following = self._following.get(layer)
        if following is not None:
            self._start(following)
        return {name: self._convert(name, weight) for name, weight in weights.items()}

    def close(self) -> None:
        """Forget what is on its way, once the thread is done with it."""
        for arriving in self._arriving.values():
            arriving.exception()
        self._arriving.clear()

    def _start(self, layer: str) -> None:
        self._arriving[layer] = self._thread.submit(lambda: self._bring(self._layers[layer]))

    def _bring(self, names: Sequence[str]) -> _Arrival:
        """On the other thread: onto the device where it has streams, else into a buffer of the host."""
        staged = self._buffers.filled([self._source.read(name) for name in names])
        if self._stream is None:
            return dict(zip(names, staged, strict=True)), None
        with self._stream:
            weights = [item.to(self._device, non_blocking=True) for item in staged]
            event = torch.Event(self._device)
            event.record(self._stream)
        self._buffers.busy_until(event.synchronize)
        return dict(zip(names, weights, strict=True)), event


class StagingBuffers:
    """Two buffers in host memory that are filled in turn: one while the other is being copied from.

    They grow to the largest set of tensors they were given and are kept. Used by one thread.

    Args:
        is_pinned: their pages stay where they are, so that a device can copy from them by itself.
    """

    def __init__(self, *, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._buffers: list[torch.Tensor | None] = [None] * _NUM_BUFFERS
        self._wait: list[Callable[[], object]] = [lambda: None] * _NUM_BUFFERS
        self._turn = 0

    def filled(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Copies of the tensors in the buffer whose turn it is, once what was there before has been copied out."""
        self._turn = (self._turn + 1) % _NUM_BUFFERS
        self._wait[self._turn]()
        sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
        total = sum(-(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES for size in sizes)
        buffer = self._buffers[self._turn]
        if buffer is None or buffer.numel() < total:
            self._buffers[self._turn] = None  # the old one goes before the new one comes
            buffer = torch.empty(total, dtype=torch.uint8, pin_memory=self._is_pinned)
            self._buffers[self._turn] = buffer
        copies, position = [], 0
        for tensor, size in zip(tensors, sizes, strict=True):
            place = buffer[position : position + size].view(tensor.dtype).view(tensor.shape)
            copies.append(place.copy_(tensor))
            position += -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        return copies

    def busy_until(self, wait: Callable[[], object]) -> None:
        """The buffer filled last is being read until `wait` returns."""
        self._wait[self._turn] = wait
