"""How much memory a call's own tensors took at most, as it runs.

CUDA and XPU count by themselves. Elsewhere the results of torch's functions are counted from when they are made until
they are gone; tensors that were there before, and weights that hooks bring in for a layer, are not the call's own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from engine.memory.device import Device

__all__ = ["measure_peak", "uncounted"]

T = TypeVar("T")

_COUNTED_BY_DRIVER = ("cuda", "xpu")
_CONVOLUTIONS = frozenset({functional.conv1d, functional.conv2d, functional.conv3d})


def measure_peak(device: Device, call: Callable[[], T]) -> tuple[T, int]:
    """What `call` returns, and the bytes its own tensors took at most on the device.

    On CUDA and XPU weights that were streamed meanwhile are among them; what `uncounted` covers is not, elsewhere.
    """
    if device.kind in _COUNTED_BY_DRIVER:
        statistics = getattr(torch, device.kind)
        before = int(statistics.memory_allocated(device.index))
        statistics.reset_peak_memory_stats(device.index)
        value = call()
        return value, max(0, int(statistics.max_memory_allocated(device.index)) - before)
    with _TensorCount(device.torch) as count:
        value = call()
    return value, count.peak_bytes


def uncounted() -> Any:
    """A context whose tensors `measure_peak` leaves out."""
    return torch._C.DisableTorchFunction()


class _TensorCount(TorchFunctionMode):
    """Adds up the storages that functions return, each once, until the last tensor of it is gone."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._device = device
        self._live_bytes = 0
        self._storages: dict[int, weakref.ref[Any]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if type(made) is torch.Tensor and made.device.type == self._device.type:
                self._add(made, args)
                if func in _CONVOLUTIONS and self._device.type == "cpu":
                    # The CPU's kernels convolve into a layout of their own first.
                    self._note_peak(made.untyped_storage().nbytes())
        return result

    def _add(self, made: torch.Tensor, args: tuple[Any, ...]) -> None:
        storage = made.untyped_storage()
        place, num_bytes = storage.data_ptr(), storage.nbytes()
        if not num_bytes or place in self._storages or any(_lies_at(item, place) for item in args):
            return

        def gone(_: Any) -> None:
            self._live_bytes -= num_bytes
            self._storages.pop(place, None)

        self._storages[place] = weakref.ref(storage, gone)
        self._live_bytes += num_bytes
        self._note_peak(0)

    def _note_peak(self, more_bytes: int) -> None:
        self.peak_bytes = max(self.peak_bytes, self._live_bytes + more_bytes)


def _lies_at(item: Any, place: int) -> bool:
    is_plain = isinstance(item, torch.Tensor) and item.layout is torch.strided
    return is_plain and item.untyped_storage().data_ptr() == place
