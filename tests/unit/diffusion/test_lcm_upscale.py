"""Latents that grow between the steps of a consistency model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch

from engine.diffusion.noise import GaussianNoise
from engine.diffusion.samplers.lcm import lcm
from engine.diffusion.samplers.lcm_upscale import lcm_upscale
from nodes.samplers import sampler_lcm_upscale

SIGMAS = (8.0, 4.0, 2.0, 1.0, 0.0)


def halve(x: torch.Tensor, sigma: float) -> Generator[Any, Any, torch.Tensor]:
    yield x.shape
    return x / 2


def run(flow: Generator[Any, Any, torch.Tensor]) -> tuple[torch.Tensor, list[tuple[int, ...]]]:
    """The result and the sizes that were asked about."""
    sizes = []
    try:
        while True:
            sizes.append(tuple(next(flow)[-2:]))
    except StopIteration as done:
        return done.value, sizes


def grown(ratio: float, num_steps: int) -> tuple[torch.Tensor, list[tuple[int, ...]]]:
    x = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0)) * 8
    options = sampler_lcm_upscale(scale_ratio=ratio, scale_steps=num_steps, upscale_method="bilinear").options
    return run(lcm_upscale(x, SIGMAS, halve, GaussianNoise(x, 5), **options))


def test_without_growth_it_is_the_plain_method() -> None:
    x = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0)) * 8
    plain, _ = run(lcm(x, SIGMAS, halve, GaussianNoise(x, 5)))
    assert torch.equal(grown(1.0, 0)[0], plain)


@pytest.mark.parametrize(
    ("ratio", "num_steps", "sizes"),
    [
        (2.5, -1, [(8, 12), (12, 18), (16, 24), (20, 30)]),
        (2.0, 1, [(8, 12), (16, 24), (16, 24), (16, 24)]),
        (0.5, 2, [(8, 12), (6, 9), (4, 6), (4, 6)]),
        (2.5, 99, [(8, 12), (12, 18), (16, 24), (20, 30)]),
    ],
)
def test_the_latent_grows_evenly_over_the_steps_asked_for(
    ratio: float, num_steps: int, sizes: list[tuple[int, ...]]
) -> None:
    result, asked = grown(ratio, num_steps)
    assert asked == sizes
    assert result.shape[-2:] == sizes[-1]
