"""Weights that are brought to a device while another network still computes there, for the job that comes next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch

from engine.memory.device import Device

__all__ = ["EarlyWeights"]


class EarlyWeights:
    """A network's weights on their way to a device of its own memory, without patches. Thread-safe.

    Args:
        device: where they go.
        names: which, in the order they are brought.
        num_bytes: what they take there; it counts as taken from the beginning.
    """

    def __init__(self, device: Device, names: Sequence[str], num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._device = device.torch
        self._has_streams = device.kind in ("cuda", "xpu")
        self._names = names
        self._weights: dict[str, torch.Tensor] = {}
        self._is_wanted = True
        self._lock = threading.Lock()

    def bring(self, fetch: Callable[[str], torch.Tensor]) -> bool:
        """Bring them one by one on a stream of their own, until `take`; whether all have come.

        A weight that cannot be brought ends it: who needs the network reads it again and gets the error.
        """
        if not self._has_streams:
            return self._bring(fetch, lambda: None)
        stream = torch.Stream(self._device)
        with stream:
            return self._bring(fetch, stream.synchronize)

    def take(self) -> dict[str, torch.Tensor]:
        """What has come until now, for the caller alone; nothing comes afterwards.

        Waits for the weight that is on its way.
        """
        self._is_wanted = False
        with self._lock:
            weights, self._weights = self._weights, {}
            self.num_bytes = 0
        if self._has_streams:
            current = torch.accelerator.current_stream(self._device)
            for weight in weights.values():
                weight.record_stream(current)
        return weights

    def _bring(self, fetch: Callable[[str], torch.Tensor], wait: Callable[[], object]) -> bool:
        for name in self._names:
            with self._lock:
                if not self._is_wanted:
                    return False
                try:
                    self._weights[name] = fetch(name)
                    wait()
                except Exception:  # noqa: BLE001 - what is not there early is fetched when it is needed
                    self._weights.clear()
                    self.num_bytes = 0
                    return False
        return True
