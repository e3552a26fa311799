"""DPM-Solver-23 with adaptive steps."""

from __future__ import annotations

import math

import torch

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpm_adaptive"]

_ACCEPT_FROM = 0.81


def dpm_adaptive(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    *,
    rtol: float = 0.05,
    atol: float = 0.0078,
    first_step: float = 0.05,
) -> Flow[Latent]:
    """Integrate from the first to the last positive level, choosing steps by the difference of orders 2 and 3.

    Only the ends of the levels count. Three evaluations per attempt; a step whose error is too large is repeated with a
    smaller one. Order of convergence: 3, the local error being held at the tolerance.
    Source: Lu et al. 2022, arXiv:2206.00927, section 3.4 and appendix C; step control as in k-diffusion.
    """
    end_level = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    time, end, step = -math.log(sigmas[0]), -math.log(end_level), first_step
    low_last = x
    while time < end - 1e-5:
        time_next = min(end, time + step)
        low, high = yield from _both_orders(x, time, time_next, guide)
        scale = torch.clamp(torch.maximum(low.abs(), low_last.abs()) * rtol, min=atol)
        error = float(torch.linalg.vector_norm((low - high) / scale)) / x.numel() ** 0.5
        factor = 1.0 + math.atan((1.0 / (error + 1e-8)) ** (1 / 3) - 1.0)
        if factor >= _ACCEPT_FROM:
            x, low_last, time = high, low, time_next
        step *= factor
    return x


def _both_orders(x: Latent, time: float, time_next: float, guide: Guide) -> Flow[tuple[Latent, Latent]]:
    """The step by DPM-Solver-2 with r = 1/3 and by DPM-Solver-3, which share two evaluations."""
    h, level_next = time_next - time, math.exp(-time_next)
    r_1, r_2 = 1 / 3, 2 / 3
    eps = yield from _eps(x, time, guide)
    x_1 = x - eps * (math.exp(-time - r_1 * h) * math.expm1(r_1 * h))
    change_1 = (yield from _eps(x_1, time + r_1 * h, guide)) - eps
    first = x - eps * (level_next * math.expm1(h))
    low = first - change_1 * (level_next / (2 * r_1) * math.expm1(h))
    level_2 = math.exp(-time - r_2 * h)
    x_2 = x - eps * (level_2 * math.expm1(r_2 * h))
    x_2 = x_2 - change_1 * (level_2 * (r_2 / r_1) * (math.expm1(r_2 * h) / (r_2 * h) - 1.0))
    change_2 = (yield from _eps(x_2, time + r_2 * h, guide)) - eps
    high = first - change_2 * (level_next / r_2 * (math.expm1(h) / h - 1.0))
    return low, high


def _eps(x: Latent, time: float, guide: Guide) -> Flow[Latent]:
    sigma = math.exp(-time)
    denoised = yield from guide(x, sigma)
    return (x - denoised) / sigma
