"""How long a run is, on what it runs and how often it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TrainerRecipe"]


@dataclass(frozen=True, slots=True)
class TrainerRecipe:
    """A step is one update of the weights, over batch_size · accumulate · devices examples.

    accumulate: micro-batches whose gradients make one step.
    accelerator, devices, strategy: as PyTorch Lightning names them ("ddp", "fsdp" …).
    precision: of the computation; weights are float32. auto means bf16 on a GPU and fp32 elsewhere.
    log_every, checkpoint_every: in steps. keep_checkpoints: the newest ones that stay.
    channels_last, compiles: layouts and kernels for speed on a GPU; results differ in rounding only.
    max_seconds: stop after this time, with a checkpoint to continue from.
    """

    max_steps: int
    accumulate: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    strategy: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    log_every: int = 50
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    channels_last: bool = False
    compiles: bool = False
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_steps", "accumulate", "log_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
