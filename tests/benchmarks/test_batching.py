"""What sharing forwards gains, as counts and ratios on a network of real layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import LatentInput
from engine.diffusion.requests import Flow
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import sample
from engine.worker.batcher import Batcher, Forward
from tests.gaussian_denoiser import GaussianDenoiser, entry

NUM_JOBS = 8
STEPS = 6
WIDTH = 1024


class WeightBound(GaussianDenoiser):
    """A network whose forward costs reading its weights: wide layers on a tiny latent, as on a large GPU."""

    layers: nn.Sequential

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        rows = torch.nn.functional.pad(x.flatten(1), (0, WIDTH - x[0].numel()))
        return super().denoise(x, sigma, inputs) + 0.0 * self.layers(rows)[:, : x[0].numel()].view_as(x)


def make_denoiser() -> WeightBound:
    denoiser = WeightBound()
    object.__setattr__(denoiser, "layers", nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(24))))
    return denoiser


def picture(denoiser: GaussianDenoiser, seed: int, steps: int = STEPS) -> Flow[Tensor]:
    sigmas = (*(14.6 * (0.03 / 14.6) ** (step / (steps - 1)) for step in range(steps)), 0.0)
    guider = Cfg(denoiser, (entry(1.0),), (entry(-1.0),), 3.0)
    return sample(guider, SAMPLERS["euler"], sigmas, LatentInput(torch.zeros(1, 4, 8, 8)), seed=seed)


def run(flows: Callable[[], list[Flow[Any]]], *, alone: bool = False) -> tuple[list[Forward], float]:
    forwards: list[Forward] = []
    batcher = Batcher(on_forward=forwards.append)
    failed: list[BaseException] = []
    with torch.inference_mode():
        for number, flow in enumerate(flows()):
            batcher.submit(number, flow, lambda value: None, failed.append, alone=alone)
        start = time.perf_counter()
        while batcher.step():
            pass
    assert failed == []
    return forwards, time.perf_counter() - start


@pytest.fixture(scope="module")
def denoiser() -> WeightBound:
    torch.set_num_threads(1)
    return make_denoiser()


def test_eight_jobs_take_as_many_forwards_as_one(denoiser: WeightBound, figures: Any) -> None:
    run(lambda: [picture(denoiser, 0)])
    alone, alone_s = run(lambda: [picture(denoiser, n) for n in range(NUM_JOBS)], alone=True)
    shared, shared_s = run(lambda: [picture(denoiser, n) for n in range(NUM_JOBS)])
    figures.add(
        "batching", f"forwards for {NUM_JOBS} jobs of {STEPS} steps", f"{len(alone)} → {len(shared)}", f"{STEPS}"
    )
    figures.add("batching", "pictures per second, shared / alone", f"{alone_s / shared_s:.1f}x")
    assert len(alone) == NUM_JOBS * STEPS
    assert len(shared) <= 2 * STEPS


def test_a_flow_step_costs_little_beside_the_forward(figures: Any) -> None:
    """The engine's own time per step: guidance, sampler, batching, on a latent of a 1024 px picture."""
    free = GaussianDenoiser()

    def large(seed: int) -> Flow[Tensor]:
        sigmas = (*(14.6 * (0.03 / 14.6) ** (step / 49) for step in range(50)), 0.0)
        guider = Cfg(free, (entry(1.0),), (entry(-1.0),), 3.0)
        return sample(guider, SAMPLERS["dpmpp_2m"], sigmas, LatentInput(torch.zeros(1, 4, 128, 128)), seed=seed)

    forwards, seconds = run(lambda: [large(0)])
    figures.add("batching", "a step without network, 1024 px", f"{seconds / len(forwards) * 1e3:.2f} ms")
    assert len(forwards) == 50
