"""What training takes beside sampling, in bytes, against the budget of the device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from engine.core.errors import OutOfMemory
from engine.families.denoiser import NetworkDenoiser
from engine.training.adapters.injection import AdapterForm

__all__ = ["make_room", "training_bytes"]

_BYTES_PER_TRAINED_VALUE = 16
"""The value, its gradient and two moments of the optimizer, float32 each."""
_KEPT_FORWARDS = 14
"""Activations kept for the way back, in units of a forward's estimated peak: those of every block (13 were measured) …
"""
_KEPT_FORWARDS_RECOMPUTED = 3
"""… or what blocks begin with, and one block's while it is computed again."""


def training_bytes(
    model: NetworkDenoiser,
    modules: Iterable[str],
    form: AdapterForm,
    *,
    compute: torch.dtype,
    batch_shape: Sequence[int],
    uses_checkpointing: bool,
) -> int:
    """Estimated peak of training an adapter on these modules; batch_shape is [b c h w] of the latents."""
    specs = model.source.weights.specs
    shares_file = model.host.device.shares_host_memory
    frozen = sum(
        0 if shares_file and spec.dtype == compute else spec.num_elements * compute.itemsize for spec in specs.values()
    )
    shapes = [specs[f"{module}.weight"].shape for module in modules]
    trained = sum(2 * form.rank_for(shape) * (shape[0] + math.prod(shape[1:])) for shape in shapes)
    batch, _, height, width = batch_shape
    forward = model.form.activation_bytes(batch, height, width, compute.itemsize)
    if uses_checkpointing:
        kept = forward * _KEPT_FORWARDS_RECOMPUTED
    else:
        # The changed weights are kept for the way back, too.
        kept = forward * _KEPT_FORWARDS + sum(math.prod(shape) for shape in shapes) * compute.itemsize
    return frozen + trained * _BYTES_PER_TRAINED_VALUE + kept


def make_room(model: NetworkDenoiser, needed_bytes: int) -> None:
    """Unload the networks of the model's device when the training needs their place.

    Raises OutOfMemory when it does not fit even so.
    """
    host = model.host
    if needed_bytes > host.budget_bytes:
        raise OutOfMemory(
            f"The training needs about {needed_bytes >> 20} MiB; {host.budget_bytes >> 20} MiB may be used.",
            hint="Lower batch_size or rank, turn gradient_checkpointing on, use smaller pictures, or raise the limit.",
            details={"needed_bytes": needed_bytes, "budget_bytes": host.budget_bytes},
        )
    if host.resident_bytes + needed_bytes > host.budget_bytes:
        host.free()
