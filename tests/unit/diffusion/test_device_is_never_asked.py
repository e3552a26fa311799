"""No step waits for the device: values of tensors that live there are never read before the run is over.

Tensors on torch's meta device have shapes and no values, so whatever asks for one raises; the last copy does.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import LatentInput
from engine.diffusion.requests import DenoiseRequest, drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import Step, sample
from tests.gaussian_denoiser import GaussianDenoiser, entry

SIGMAS = (14.6146, 6.0, 3.0, 1.0, 0.3, 0.0)
SHAPE = (2, 4, 8, 8)
MEASURES_ITS_STEPS = frozenset({"dpm_adaptive"})
"""How far they go is decided by an error that the device computes."""


VALUELESS = torch.device("meta")


def forwards(device: torch.device, sampler: str, mask: Tensor | None) -> tuple[int, int]:
    """How many forwards a run makes, and how many steps it tells of."""
    told: list[Step] = []
    denoiser = GaussianDenoiser(device=device)
    guider = Cfg(denoiser, (entry(0.0),), (entry(1.0),), 4.0)
    flow = sample(
        guider, SAMPLERS[sampler], SIGMAS, LatentInput(torch.zeros(SHAPE), noise_mask=mask), seed=3, on_step=told.append
    )
    with pytest.raises(NotImplementedError, match="no data") if device == VALUELESS else nullcontext():
        drive(flow)
    return len(denoiser.forwards), len(told)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - MEASURES_ITS_STEPS))
def test_no_step_reads_a_value_from_the_device(sampler: str, is_masked: bool) -> None:
    mask = torch.ones(1, 1, 8, 8) if is_masked else None
    assert forwards(VALUELESS, sampler, mask) == forwards(torch.device("cpu"), sampler, mask)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_levels_are_numbers_of_the_host(device: str) -> None:
    x = torch.zeros(3, 4, 8, 8, device=device)
    request = DenoiseRequest(GaussianDenoiser(device=torch.device(device)), x, 2.5, ConditionInputs())
    assert request.levels.tolist() == [2.5] * 3
