"""DPM-Solver-12 and DPM-Solver-23 with adaptive steps."""

from __future__ import annotations

import math

import torch

from engine.diffusion.noise import NoiseSource
from engine.diffusion.noise_path import VARIANCE_EXPLODING
from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["dpm_adaptive"]


def dpm_adaptive(
    x: Latent,
    sigmas: Sigmas,
    guide: Guide,
    noise: NoiseSource | None = None,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    first_step: float = 0.05,
    pid: tuple[float, float, float] = (0.0, 1.0, 0.0),
    accept_from: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Flow[Latent]:
    """Integrate from the first to the last positive level, choosing steps by the difference of two orders.

    Only the ends of the levels count. `order` (2 or 3) evaluations per attempt; a step whose error is too large is
    repeated with a smaller one. With `noise` and eta > 0 steps go below their level and noise is added up to it.
    Order of convergence: `order`, the local error being held at the tolerance.

    pid: proportional, integral and derivative gain of the step control. Source: Söderlind 2003, as in k-diffusion.
    Source: Lu et al. 2022, arXiv:2206.00927, section 3.4 and appendix C.
    """
    end_level = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    time, end, step = -math.log(sigmas[0]), -math.log(end_level), first_step
    powers = _powers(pid, 1.5 if eta else float(order))
    before: tuple[float, ...] = ()
    low_last = x
    while time < end - 1e-5:
        time_next = min(end, time + step)
        time_down, added = _ancestral(time, time_next, end, eta)
        low, high = yield from _both_orders(x, time, time_down, guide, order)
        scale = torch.clamp(torch.maximum(low.abs(), low_last.abs()) * rtol, min=atol)
        accuracy = 1.0 / (float(torch.linalg.vector_norm((low - high) / scale)) / x.numel() ** 0.5 + 1e-8)
        before = before or (accuracy, accuracy)
        raw = math.prod(value**power for value, power in zip((accuracy, *before), powers, strict=True))
        factor = 1.0 + math.atan(raw - 1.0)
        if factor >= accept_from:
            x, low_last, before = high, low, (accuracy, before[0])
            if noise is not None and added > 0:
                x = x + noise(math.exp(-time), math.exp(-time_next)) * (added * s_noise)
            time = time_next
        step *= factor
    return x


def _powers(pid: tuple[float, float, float], order: float) -> tuple[float, float, float]:
    """Of the last three accuracies in the factor of a step."""
    proportional, integral, derivative = pid
    total = proportional + integral + derivative
    return total / order, -(proportional + 2 * derivative) / order, derivative / order


def _ancestral(time: float, time_next: float, end: float, eta: float) -> tuple[float, float]:
    """Where the deterministic part of a step ends, and how much noise follows."""
    if not eta:
        return time_next, 0.0
    level_next = math.exp(-time_next)
    down = VARIANCE_EXPLODING.ancestral_step(math.exp(-time), level_next, eta).sigma_down
    time_down = min(end, -math.log(down)) if down > 0 else end
    return time_down, math.sqrt(max(level_next**2 - math.exp(-time_down) ** 2, 0.0))


def _both_orders(x: Latent, time: float, time_next: float, guide: Guide, order: int) -> Flow[tuple[Latent, Latent]]:
    """The step by two methods of neighbouring orders, which share their evaluations."""
    h, level_next = time_next - time, math.exp(-time_next)
    r_1, r_2 = (1 / 2 if order == 2 else 1 / 3), 2 / 3
    eps = yield from _eps(x, time, guide)
    x_1 = x - eps * (math.exp(-time - r_1 * h) * math.expm1(r_1 * h))
    change_1 = (yield from _eps(x_1, time + r_1 * h, guide)) - eps
    first = x - eps * (level_next * math.expm1(h))
    second = first - change_1 * (level_next / (2 * r_1) * math.expm1(h))
    if order == 2:
        return first, second
    level_2 = math.exp(-time - r_2 * h)
    x_2 = x - eps * (level_2 * math.expm1(r_2 * h))
    x_2 = x_2 - change_1 * (level_2 * (r_2 / r_1) * (math.expm1(r_2 * h) / (r_2 * h) - 1.0))
    change_2 = (yield from _eps(x_2, time + r_2 * h, guide)) - eps
    return second, first - change_2 * (level_next / r_2 * (math.expm1(h) / h - 1.0))


def _eps(x: Latent, time: float, guide: Guide) -> Flow[Latent]:
    sigma = math.exp(-time)
    denoised = yield from guide(x, sigma)
    return (x - denoised) / sigma
