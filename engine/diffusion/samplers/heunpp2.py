"""Heun's method with up to three weighted slopes."""

from __future__ import annotations

from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["heunpp2"]


def heunpp2(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Look one and two levels ahead and weigh the slopes there by their levels, relative to the first level of the run.

    Three evaluations per step, two in the last but one, one in the last. Order of convergence: 1, since the weights
    favour the start of the step, for stability at few steps.
    Source: Heun++ of github.com/Carzit/sd-webui-samplers-scheduler (MIT).
    """
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield from guide(x, sigma)
        slopes = [(x - denoised) / sigma]
        ahead, level = x, sigma
        # Slopes are undefined at the end of the schedule.
        looks = [further for further in sigmas[i + 1 : i + 3] if further != sigmas[-1]]
        for further in looks:
            ahead = ahead + slopes[-1] * (further - level)
            level = further
            denoised = yield from guide(ahead, level)
            slopes.append((ahead - denoised) / level)
        shares = [further / ((len(looks) + 1) * sigmas[0]) for further in looks]
        weights = [1.0 - sum(shares), *shares]
        step = sigma_next - sigma
        for weight, slope in zip(weights, slopes, strict=True):
            x = x + slope * (weight * step)
    return x
