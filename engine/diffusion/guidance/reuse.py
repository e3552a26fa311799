"""Leaving predictions out where the network's output is known to change little: EasyCache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.diffusion.denoiser import Denoiser
from engine.diffusion.requests import Flow, Latent

__all__ = ["OutputReuse", "Predicting"]

_log = logging.getLogger(__name__)

Predicting = Callable[[Sequence[Sequence[Any]], Latent, float], Flow[list[Latent]]]
"""predicting(sides, x, sigma): one `denoised` for each side (see `engine.diffusion.regions.predict`)."""


@dataclass(slots=True)
class _Memory:
    """What is known of the points of one run. Inputs and outputs are the network's own.

    input: of the last point. computed_input, outputs, differences: of the last point that was computed, by side;
    differences are output - input. rate: how much the output changed for a change of the input, between the last two
    points that were computed. drift: what the output may have changed since, as a part of itself.
    """

    input: Latent | None = None
    computed_input: Latent | None = None
    outputs: list[Latent] = field(default_factory=list)
    differences: list[Latent] = field(default_factory=list)
    rate: float | None = None
    drift: float = 0.0

    def foresees_less_than(self, threshold: float, given: Latent, num_sides: int) -> bool:
        """Add up what the output of this input will have changed; whether that is still below the threshold."""
        before, known = self.input, len(self.outputs) == num_sides
        if before is None or self.rate is None or not known or before.shape != given.shape:
            return False
        size = float(self.outputs[0].abs().mean())
        self.drift += self.rate * float((given - before).abs().mean()) / max(size, 1e-12)
        return self.drift < threshold

    def learn(self, given: Latent, outputs: list[Latent]) -> None:
        """A point has been computed."""
        self.drift = 0.0
        known = self.computed_input
        if known is not None and known.shape == given.shape and len(self.outputs) == len(outputs):
            moved = float((given - known).abs().mean())
            self.rate = float((outputs[0] - self.outputs[0]).abs().mean()) / moved if moved else None
        self.computed_input, self.outputs = given, outputs
        self.differences = [output - given for output in outputs]


@dataclass(frozen=True, slots=True)
class OutputReuse:
    """Take output = input + the last difference of both, until the output is foreseen to have changed by `threshold`.

    Everything is computed before `start` and after `end`, fractions of the trajectory. The first side decides for all.
    tells: write each point that is not computed to the log. Source: EasyCache, Zhou et al. 2025, arXiv:2507.02860,
    section 3.3, and the authors' published code.
    """

    threshold: float
    start: float = 0.0
    end: float = 1.0
    tells: bool = False

    def begin(self, denoiser: Denoiser, predicting: Predicting) -> Predicting:
        """The predictions of one run, with its own memory."""
        memory, table = _Memory(), denoiser.parameterization.sigma_table
        highest, lowest = table.sigma_at_fraction(self.start), table.sigma_at_fraction(self.end)

        def reusing(sides: Sequence[Sequence[Any]], x: Latent, sigma: float) -> Flow[list[Latent]]:
            level = x.new_tensor([sigma]).view(1, *(1,) * (x.ndim - 1))
            factors = denoiser.parameterization.prediction.factors(level)
            given = x * factors.c_in
            may_reuse = lowest <= sigma <= highest
            reuses = may_reuse and memory.foresees_less_than(self.threshold, given, len(sides))
            memory.input = given
            if reuses:
                if self.tells:
                    _log.info("level %.4g is taken from the last one, drift %.3g", sigma, memory.drift)
                return [x * factors.c_skip + (given + d) * factors.c_out for d in memory.differences]
            denoised = yield from predicting(sides, x, sigma)
            memory.learn(given, [(answer - x * factors.c_skip) / factors.c_out for answer in denoised])
            return denoised

        return reusing
