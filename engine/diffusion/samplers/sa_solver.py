"""SA-Solver: stochastic Adams methods, predictor and corrector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING, NoisePath
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["sa_solver"]

_NODES, _NODE_WEIGHTS = (tuple(values.tolist()) for values in np.polynomial.legendre.leggauss(32))


def sa_solver(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource,
    *,
    path: NoisePath = VARIANCE_EXPLODING,
    noisy_from: float,
    noisy_to: float,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    evaluates_corrected: bool = False,
) -> Flow[Latent]:
    """Adams-Bashforth and Adams-Moulton steps of the SDE whose noise strength tau is 1 between two levels, else 0.

    One evaluation per step, or two with `evaluates_corrected` (PECE); orders fall towards a schedule's end at 0, and
    the step onto 0 returns `denoised`. Order of convergence: 3 (tau = 0) after start-up steps of lower order.
    Source: Xue et al. 2023, arXiv:2309.05019, algorithms 1 to 3.
    """
    places = [path.half_log_snr(sigma) for sigma in sigmas]
    steps = len(sigmas) - 1
    order_left = steps if sigmas[-1] == 0 else steps + max(predictor_order, corrector_order)
    known: list[Latent] = []
    predicted, start, tau, fresh = x, x, 0.0, None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield from guide(predicted, sigma)
        known = [*known, denoised][-max(predictor_order, corrector_order) :]
        x = predicted
        if i > 0 and (sigma_next > 0 or evaluates_corrected):
            order = min(corrector_order, len(known), order_left - i)
            x = _adams(path, start, known[-order:], places[i - order + 1 : i + 1], sigmas[i - 1 : i + 1], tau)
            if fresh is not None:
                x = x + fresh
            if evaluates_corrected:
                denoised = yield from guide(x, sigma)
                known[-1] = denoised
        if sigma_next == 0:
            return denoised
        tau = 1.0 if noisy_to <= sigma_next <= noisy_from else 0.0
        order = min(predictor_order, len(known), order_left - 1 - i)
        predicted = _adams(path, x, known[-order:], places[i - order + 1 : i + 1], (sigma, sigma_next), tau)
        fresh = None
        if tau > 0 and s_noise > 0:
            amount = math.sqrt(-math.expm1(-2 * tau**2 * (places[i + 1] - places[i])))
            fresh = noise(sigma, sigma_next) * (sigma_next * amount * s_noise)
            predicted = predicted + fresh
        start = x
    return predicted


def _adams(
    path: NoisePath, x: Latent, known: Sequence[Latent], places: Sequence[float], levels: Sequence[float], tau: float
) -> Latent:
    """The noise-free part of a step from levels[0] to levels[1] on the polynomial through predictions at `places`."""
    level, level_next = levels
    start, end = path.half_log_snr(level), path.half_log_snr(level_next)
    rate = 1.0 + tau**2
    result = x * (level_next / level * math.exp(-(tau**2) * (end - start)))
    for weight, denoised in zip(_weights(places, start, end, rate), known, strict=True):
        result = result + denoised * (path.alpha(level_next) * weight)
    return result


def _weights(places: Sequence[float], start: float, end: float, rate: float) -> list[float]:
    """Integrals over start..end of rate·exp(rate·(l - end)) times the Lagrange polynomials of `places`."""
    weights = [0.0] * len(places)
    for node, node_weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        place = start + (end - start) * (node + 1) / 2
        density = rate * math.exp(rate * (place - end)) * node_weight / 2 * (end - start)
        for j, own in enumerate(places):
            weights[j] += density * math.prod((place - o) / (own - o) for k, o in enumerate(places) if k != j)
    return weights
