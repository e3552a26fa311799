"""What nodes may ask for when they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

__all__ = ["LoraSettings", "TrainedLora", "Training"]


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How a LoRA is trained; equal settings and data make equal ones.

    steps: updates of the weights, each over batch_size · accumulation pictures.
    algorithm: LoRA, LoHa, LoKr or OFT. optimizer: AdamW, Adam, SGD or RMSprop. loss: MSE, L1, Huber or SmoothL1.
    computes_narrow: in bfloat16 where the device has it natively, else in float32.
    stores_narrow: the finished tensors are bfloat16; while they are trained they are float32.
    first_step: steps taken before, when going on with a LoRA.
    """

    steps: int
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 5e-4
    rank: int = 8
    algorithm: str = "LoRA"
    optimizer: str = "AdamW"
    loss: str = "MSE"
    seed: int = 0
    computes_narrow: bool = True
    stores_narrow: bool = True
    uses_checkpointing: bool = True
    first_step: int = 0


@dataclass(frozen=True, slots=True)
class TrainedLora:
    """tensors: by the keys of a file. losses: one for each step. steps: taken in all, earlier ones included."""

    tensors: Mapping[str, Tensor] = field(repr=False)
    losses: tuple[float, ...]
    steps: int


class Training(Protocol):
    """Trains on behalf of nodes; the worker provides it (engine.training)."""

    def train_lora(
        self,
        model: Any,
        latents: Tensor,
        positive: list[Any],
        settings: LoraSettings,
        on_step: Callable[[int, float], None],
        existing: Path | None = None,
    ) -> TrainedLora:
        """Train a LoRA of the model's network; the model stays as it is.

        Args:
            latents: [n c h w] as LATENT sockets carry them.
            positive: the value of a CONDITIONING socket, one entry for each latent or one for all.
            on_step: called after each step with its number (from 1) and loss; what it raises ends the training.
            existing: a LoRA file to go on with.

        Raises NodeError for data that does not go together, OutOfMemory when the training does not fit.
        """
        ...

    def lora_file(self, tensors: Mapping[str, Tensor], steps: int | None) -> bytes:
        """The bytes of a LoRA file, with the header entries other tools look for."""
        ...
