"""Measurements of a run, to a file of its folder and to TensorBoard."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping

from engine.training.run_folder import RunFolder

__all__ = ["MetricsLog"]


class MetricsLog:
    """metrics.jsonl, and a TensorBoard log where TensorBoard is installed."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._writer = None
        if importlib.util.find_spec("tensorboard") is not None:
            with warnings.catch_warnings():
                # What TensorBoard imports is deprecated here and there; nothing of it is ours to change.
                warnings.simplefilter("ignore", DeprecationWarning)
                from torch.utils.tensorboard.writer import SummaryWriter

                self._writer = SummaryWriter(str(folder.path / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Note measurements after this many steps."""
        self._folder.metrics(step, values)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
