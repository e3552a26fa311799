"""`engine.api.Training` of a worker. The training package is imported when the first node trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.api.training import LoraSettings, TrainedLora
from engine.core.errors import NodeError

__all__ = ["WorkerTraining"]


class WorkerTraining:
    """Trains on the thread of the node that asks."""

    def train_lora(
        self,
        model: Any,
        latents: Tensor,
        positive: list[Any],
        settings: LoraSettings,
        on_step: Callable[[int, float], None],
        existing: Path | None = None,
    ) -> TrainedLora:
        """As of `engine.api.Training`. Raises NodeError for a model that cannot be trained."""
        from engine.diffusion.conditioning import parse_conditioning
        from engine.families.denoiser import NetworkDenoiser
        from engine.training.adapters.latent_run import run_from_settings, train_on_latents
        from engine.weights.checkpoint import open_checkpoint

        if not isinstance(model, NetworkDenoiser):
            raise NodeError(
                f"A {type(model).__name__} cannot be trained.",
                code="untrainable_model",
                hint="Connect a model that a checkpoint loader opened.",
                input="model",
            )
        run, entries = run_from_settings(settings), parse_conditioning(positive)
        if existing is None:
            trained = train_on_latents(model, latents, entries, run, on_step)
        else:
            with open_checkpoint(existing) as source:
                trained = train_on_latents(model, latents, entries, run, on_step, source)
        return TrainedLora(trained.tensors, trained.losses, trained.steps)

    def lora_file(self, tensors: Mapping[str, Tensor], steps: int | None) -> bytes:
        """As of `engine.api.Training`."""
        from engine.training.adapters.files import adapter_bytes

        return adapter_bytes(tensors, steps=steps)
