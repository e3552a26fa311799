"""DPM-Solver-Fast: third-order single steps within a budget of evaluations."""

from __future__ import annotations

import math

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpm_fast"]


def dpm_fast(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Integrate from the first to the last positive level in steps even in log sigma.

    Only the ends and the number of the levels count: there are as many evaluations as steps asked for. Steps of order 3
    take three of them, the last steps what is left. Order of convergence: 3, less the lower order of the last steps.
    Source: Lu et al. 2022, arXiv:2206.00927, section 3.4 and algorithm 2.
    """
    evaluations = len(sigmas) - 1
    end_level = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    num_steps = evaluations // 3 + 1
    if evaluations % 3 == 0:
        orders = [3] * (num_steps - 2) + [2, 1]
    else:
        orders = [3] * (num_steps - 1) + [evaluations % 3]
    start, end = -math.log(sigmas[0]), -math.log(end_level)
    times = [start + (end - start) * step / num_steps for step in range(num_steps + 1)]
    for order, time, time_next in zip(orders, times, times[1:], strict=False):
        x = yield from single_step(x, time, time_next, order, guide)
    return x


def single_step(x: Latent, time: float, time_next: float, order: int, guide: Guide) -> Flow[Latent]:
    """One DPM-Solver step of order 1, 2 or 3 from time to time_next, with time = -log sigma."""
    h = time_next - time
    eps = yield from _eps(x, time, guide)
    level_next = math.exp(-time_next)
    if order == 1:
        return x - eps * (level_next * math.expm1(h))
    r = 0.5 if order == 2 else 1 / 3
    x_1 = x - eps * (math.exp(-time - r * h) * math.expm1(r * h))
    change_1 = (yield from _eps(x_1, time + r * h, guide)) - eps
    if order == 2:
        return x - eps * (level_next * math.expm1(h)) - change_1 * (level_next / (2 * r) * math.expm1(h))
    r_2 = 2 / 3
    level_2 = math.exp(-time - r_2 * h)
    x_2 = x - eps * (level_2 * math.expm1(r_2 * h))
    x_2 = x_2 - change_1 * (level_2 * (r_2 / r) * (math.expm1(r_2 * h) / (r_2 * h) - 1.0))
    change_2 = (yield from _eps(x_2, time + r_2 * h, guide)) - eps
    return x - eps * (level_next * math.expm1(h)) - change_2 * (level_next / r_2 * (math.expm1(h) / h - 1.0))


def _eps(x: Latent, time: float, guide: Guide) -> Flow[Latent]:
    sigma = math.exp(-time)
    denoised = yield from guide(x, sigma)
    return (x - denoised) / sigma
