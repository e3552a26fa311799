"""UniPC: a predictor and corrector that share their evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["uni_pc"]

END_LEVEL = 0.001
"""Stands for sigma 0, where lambda is infinite."""


def uni_pc(
    x: Latent, sigmas: Sigmas, guide: Guide, *, variant: Literal["bh1", "bh2"] = "bh1", max_order: int = 3
) -> Flow[Latent]:
    """Predict the next latent from past predictions, then correct it with the prediction made there.

    One evaluation per step: the prediction at the uncorrected latent also serves the next step. Order of convergence:
    2: the inner steps are of order 3, the first and last ones lower. `variant` is the paper's B(h): h or expm1(h).
    Source: Zhao et al. 2023, arXiv:2302.04867, algorithm 3 in data prediction.
    """
    levels = [*sigmas[:-1], sigmas[-1] or END_LEVEL]
    steps = len(levels) - 1
    max_order = min(max_order, max(steps - 1, 1))
    denoised = yield from guide(x, levels[0])
    known = [(levels[0], denoised)]
    for number, level in enumerate(levels[1:], start=1):
        order = min(max_order, len(known), steps + 1 - number)
        is_last = number == steps
        step = _Step(known[-order:], level, variant)
        predicted = step.predict(x)
        if is_last:
            return predicted
        denoised = yield from guide(predicted, level)
        x = step.correct(x, denoised)
        known = [*known[-max_order:], (level, denoised)]
    return x


class _Step:
    """One step to `level` from the last of `known`, (level, denoised) pairs from oldest to newest."""

    def __init__(self, known: Sequence[tuple[float, Latent]], level: float, variant: str) -> None:
        start, self._newest = known[-1]
        self._ratio = level / start
        h = math.log(start / level)
        places = [math.log(start / past) / h for past, _ in known[-2::-1]]
        past = [denoised for _, denoised in known[-2::-1]]
        self._slopes = [(d - self._newest) / place for d, place in zip(past, places, strict=True)]
        self._gain = math.expm1(-h)
        self._weight = -h if variant == "bh1" else self._gain
        self._predictor, self._corrector = _weights([*places, 1.0], -h, self._weight)

    def predict(self, x: Latent) -> Latent:
        """The next latent from known predictions alone."""
        return self._first_order(x) - self._mix(self._predictor, self._slopes)

    def correct(self, x: Latent, denoised: Latent) -> Latent:
        """The next latent with the prediction made there."""
        return self._first_order(x) - self._mix(self._corrector, [*self._slopes, denoised - self._newest])

    def _first_order(self, x: Latent) -> Latent:
        return x * self._ratio - self._newest * self._gain

    def _mix(self, weights: Sequence[float], slopes: Sequence[Latent]) -> Latent | float:
        return sum(slope * (self._weight * weight) for weight, slope in zip(weights, slopes, strict=True))


def _weights(places: Sequence[float], minus_h: float, weight: float) -> tuple[list[float], list[float]]:
    """Weights of the slopes for the predictor (all places but the last) and the corrector: the paper's R rho = b."""
    order = len(places)
    phi, factorial, b = math.expm1(minus_h) / minus_h - 1.0, 1.0, []
    for power in range(1, order + 1):
        b.append(phi * factorial / weight)
        factorial *= power + 1
        phi = phi / minus_h - 1.0 / factorial
    r = np.vander(np.array(places), order, increasing=True).T
    # With one unknown the paper takes 1/2, which keeps the order and does not depend on h.
    predictor = [0.5] if order == 2 else np.linalg.solve(r[:-1, :-1], b[:-1]).tolist()
    corrector = [0.5] if order == 1 else np.linalg.solve(r, b).tolist()
    return predictor, corrector
