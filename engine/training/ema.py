"""A moving average of the trained weights, which samples and exports are made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Ema", "EmaRecipe"]


@dataclass(frozen=True, slots=True)
class EmaRecipe:
    """decay: of the average, once it is warm. warms_up: begin with a shorter memory, (1 + n)/(10 + n) after n steps."""

    decay: float = 0.9999
    warms_up: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError("decay must lie between 0 and 1")

    def decay_at(self, step: int) -> float:
        """Weight of the past in the update of this step (from 0)."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warms_up else self.decay


class Ema:
    """Shadow copies, float32, of the parameters that are trained."""

    def __init__(self, recipe: EmaRecipe, parameters: Mapping[str, nn.Parameter]) -> None:
        self.recipe = recipe
        self._parameters = dict(parameters)
        self._shadow = {name: p.detach().float().clone() for name, p in self._parameters.items()}
        self._shadows = list(self._shadow.values())
        self._current = list(self._parameters.values())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step` (from 0)."""
        weight = 1.0 - self.recipe.decay_at(step)
        current = [p if p.dtype == torch.float32 else p.float() for p in self._current]
        torch._foreach_lerp_(self._shadows, current, weight)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the parameters hold the average."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._write(self._shadow)
        try:
            yield
        finally:
            self._write(kept)

    def state(self) -> dict[str, Tensor]:
        """The average, by parameter name; not copies."""
        return dict(self._shadow)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, shadow in self._shadow.items():
            shadow.copy_(state[name])

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
