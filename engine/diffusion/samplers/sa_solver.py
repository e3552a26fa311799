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
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    evaluates_corrected: bool = False,
    simplifies_order_2: bool = False,
) -> Flow[Latent]:
    """Adams-Bashforth and Adams-Moulton steps of the SDE whose noise strength tau is eta between two levels, else 0.

    One evaluation per step, or two with `evaluates_corrected` (PECE). `simplifies_order_2` takes the slope of
    two-point steps by the midpoint rule. A corrector of order 0 is none. Orders fall towards a schedule's end at 0, and
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
        if i > 0 and corrector_order > 0 and (sigma_next > 0 or evaluates_corrected):
            order = min(corrector_order, len(known), order_left - i)
            used = places[i - order + 1 : i + 1]
            x = _adams(path, start, known[-order:], used, sigmas[i - 1 : i + 1], tau, simplifies_order_2)
            if fresh is not None:
                x = x + fresh
            if evaluates_corrected:
                denoised = yield from guide(x, sigma)
                known[-1] = denoised
        if sigma_next == 0:
            return denoised
        tau = eta if noisy_to <= sigma_next <= noisy_from else 0.0
        order = min(predictor_order, len(known), order_left - 1 - i)
        used = places[i - order + 1 : i + 1]
        predicted = _adams(path, x, known[-order:], used, (sigma, sigma_next), tau, simplifies_order_2)
        fresh = None
        if tau > 0 and s_noise > 0:
            amount = math.sqrt(-math.expm1(-2 * tau**2 * (places[i + 1] - places[i])))
            fresh = noise(sigma, sigma_next) * (sigma_next * amount * s_noise)
            predicted = predicted + fresh
        start = x
    return predicted


def _adams(
    path: NoisePath,
    x: Latent,
    known: Sequence[Latent],
    places: Sequence[float],
    levels: Sequence[float],
    tau: float,
    is_simple: bool,
) -> Latent:
    """The noise-free part of a step from levels[0] to levels[1] on the polynomial through predictions at `places`."""
    level, level_next = levels
    start, end = path.half_log_snr(level), path.half_log_snr(level_next)
    rate = 1.0 + tau**2
    result = x * (level_next / level * math.exp(-(tau**2) * (end - start)))
    weigh = _midpoint_weights if is_simple and len(places) == 2 else _weights
    for weight, denoised in zip(weigh(places, start, end, rate), known, strict=True):
        result = result + denoised * (path.alpha(level_next) * weight)
    return result


def _midpoint_weights(places: Sequence[float], start: float, end: float, rate: float) -> list[float]:
    """Two weights that sum to the exact integral; the slope through both places counts as half way along the step."""
    h = end - start
    total = -math.expm1(-rate * h)
    slope = rate * h * h / 2 / (places[1] - places[0])
    return [-slope, total + slope] if places[1] == start else [total - slope, slope]


def _weights(places: Sequence[float], start: float, end: float, rate: float) -> list[float]:
    """Integrals over start..end of rate·exp(rate·(l - end)) times the Lagrange polynomials of `places`."""
    weights = [0.0] * len(places)
    for node, node_weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        place = start + (end - start) * (node + 1) / 2
        density = rate * math.exp(rate * (place - end)) * node_weight / 2 * (end - start)
        for j, own in enumerate(places):
            weights[j] += density * math.prod((place - o) / (own - o) for k, o in enumerate(places) if k != j)
    return weights
