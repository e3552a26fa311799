"""Pseudo-linear multistep with weights for uneven steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from engine.diffusion.requests import Flow, Guide, Latent, Sigmas

__all__ = ["ipndm_v"]


def ipndm_v(x: Latent, sigmas: Sigmas, guide: Guide) -> Flow[Latent]:
    """Step with a mix of up to four slopes whose weights follow the lengths of the last steps.

    One evaluation per step; the step onto sigma 0 returns `denoised`. Order of convergence: 2, limited by the first
    steps. The weights are those of the published code, whose term for the third slope lacks a bracket that
    Adams-Bashforth (`lms`) has; they agree for even steps.
    Source: Zhang & Chen 2022, arXiv:2204.13902, appendix H.2, as in github.com/zju-pi/diff-sampler (Apache-2.0).
    """
    slopes: deque[Latent] = deque(maxlen=4)
    steps: deque[float] = deque(maxlen=4)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield from guide(x, sigma)
        if sigma_next == 0:
            return denoised
        slopes.appendleft((x - denoised) / sigma)
        steps.appendleft(sigma_next - sigma)
        for weight, slope in zip(_weights(steps), slopes, strict=True):
            x = x + slope * (weight * steps[0])
    return x


def _weights(steps: Sequence[float]) -> list[float]:
    """Weights of the slopes, newest first, for a step of length steps[0] after steps of lengths steps[1:]."""
    if len(steps) == 1:
        return [1.0]
    h, h_1 = steps[0], steps[1]
    weights = [(2 + h / h_1) / 2, -(h / h_1) / 2]
    if len(steps) == 2:
        return weights
    h_2 = steps[2]
    third = (1 - h / (3 * (h + h_1)) * (h * (h + h_1)) / (h_1 * (h_1 + h_2))) / 2
    weights = [weights[0] + third, weights[1] - (1 + h_1 / h_2) * third, third * h_1 / h_2]
    if len(steps) == 3:
        return weights
    h_3 = steps[3]
    reach = h_1 * (h_1 + h_2) / (h_2 * (h_2 + h_3))
    fourth = (1 - h / (3 * (h + h_1))) / 2 + (1 - h / (2 * (h + h_1))) * h / (6 * (h + h_1 + h_2))
    fourth *= h * (h + h_1) * (h + h_1 + h_2) / (h_1 * (h_1 + h_2) * (h_1 + h_2 + h_3))
    return [
        weights[0] + fourth,
        weights[1] - (1 + h_1 / h_2 + reach) * fourth,
        weights[2] + (h_1 / h_2 + reach * (1 + h_2 / h_3)) * fourth,
        -fourth * reach * h_1 / h_2,
    ]
