"""The optimizer and how its learning rate changes over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from engine.training.muon import Muon, is_hidden_matrix

__all__ = [
    "ConstantSchedule",
    "CosineSchedule",
    "LinearSchedule",
    "OptimizerRecipe",
    "ParameterSet",
    "TrapezoidSchedule",
]


_FUSED_ON = frozenset(("cpu", "cuda", "xpu", "mps"))


@dataclass(frozen=True, slots=True)
class ConstantSchedule:
    """The full rate after the warm-up."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = 0

    def factor(self, step: int, max_steps: int) -> float:
        """Factor on the rate for step number `step` (from 0)."""
        return _warmup(step, self.warmup_steps)


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Half a cosine from the full rate after the warm-up down to `final` of it at the end of the run.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """

    kind: Literal["cosine"]
    warmup_steps: int = 0
    final: float = 0.0

    def factor(self, step: int, max_steps: int) -> float:
        """Factor on the rate for step number `step` (from 0)."""
        if step < self.warmup_steps:
            return _warmup(step, self.warmup_steps)
        return self.final + (1.0 - self.final) * 0.5 * (
            1.0 + math.cos(math.pi * _part(step, self.warmup_steps, max_steps))
        )


@dataclass(frozen=True, slots=True)
class LinearSchedule:
    """A straight line from the full rate after the warm-up down to `final` of it at the end of the run."""

    kind: Literal["linear"]
    warmup_steps: int = 0
    final: float = 0.0

    def factor(self, step: int, max_steps: int) -> float:
        """Factor on the rate for step number `step` (from 0)."""
        if step < self.warmup_steps:
            return _warmup(step, self.warmup_steps)
        return 1.0 - (1.0 - self.final) * _part(step, self.warmup_steps, max_steps)


@dataclass(frozen=True, slots=True)
class TrapezoidSchedule:
    """The full rate after the warm-up; over the last `decay` of all steps a straight line down to nothing.

    A run that turns out too short goes on from a checkpoint before the decline with more steps, as if it had had them
    from the beginning. Source: Hägele et al. 2024, arXiv:2405.18392.
    """

    kind: Literal["trapezoid"]
    warmup_steps: int = 0
    decay: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 < self.decay <= 1.0:
            raise ValueError("decay is a share of the steps above 0 and up to 1")

    def factor(self, step: int, max_steps: int) -> float:
        """Factor on the rate for step number `step` (from 0)."""
        remaining = (max_steps - step) / (self.decay * max_steps)
        return min(_warmup(step, self.warmup_steps), max(0.0, min(1.0, remaining)))


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """Weights whose gradients are clipped together. rate_factor: on the learning rate."""

    parameters: tuple[nn.Parameter, ...]
    rate_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class OptimizerRecipe:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) or Muon (`engine.training.muon`) for the matrices in between.

    Biases, norms and bare vectors are not decayed. max_norm: gradients are scaled down to this norm; None leaves them.
    """

    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    max_norm: float | None = None
    schedule: ConstantSchedule | CosineSchedule | LinearSchedule | TrapezoidSchedule = ConstantSchedule()
    algorithm: Literal["adamw", "muon"] = "adamw"

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError("learning_rate must be positive")

    def rate(self, step: int, max_steps: int) -> float:
        """Learning rate of step number `step` (from 0) of a run: a function of the step alone."""
        return self.learning_rate * self.schedule.factor(step, max_steps)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of these parameters; one fused kernel where torch has it."""
        return self.build_for([ParameterSet(tuple(parameters))])

    def build_for(self, sets: Sequence[ParameterSet]) -> torch.optim.Optimizer:
        """One optimizer of several sets. Its groups say their `rate_factor`; whoever sets rates multiplies by it."""
        groups: dict[tuple[int, bool, bool], list[nn.Parameter]] = {}
        for number, parameters in enumerate(sets):
            for parameter in parameters.parameters:
                is_orthogonal = self.algorithm == "muon" and is_hidden_matrix(parameter)
                groups.setdefault((number, parameter.ndim <= 1, is_orthogonal), []).append(parameter)
        made: list[dict[str, Any]] = [
            {
                "params": chosen,
                "weight_decay": 0.0 if is_vector else self.weight_decay,
                "rate_factor": sets[number].rate_factor,
                "is_orthogonal": is_orthogonal,
            }
            for (number, is_vector, is_orthogonal), chosen in sorted(groups.items(), key=lambda item: item[0])
        ]
        if self.algorithm == "muon":
            return Muon(made, self.learning_rate, self.betas, self.eps)
        devices = {parameter.device.type for group in made for parameter in group["params"]}
        return torch.optim.AdamW(
            made, lr=self.learning_rate, betas=self.betas, eps=self.eps, fused=devices <= _FUSED_ON
        )


def _warmup(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def _part(step: int, warmup_steps: int, max_steps: int) -> float:
    """How much of the way after the warm-up is done, in [0, 1]."""
    return min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
