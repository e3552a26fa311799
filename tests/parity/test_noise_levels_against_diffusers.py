"""Zero-terminal levels and the consistency boundary against diffusers."""

from __future__ import annotations

import warnings

import torch

from engine.diffusion.distilled_table import DistilledSigmaTable
from engine.diffusion.prediction import LcmPrediction
from engine.diffusion.reparameterize import discrete_parameterization
from engine.diffusion.sigma_table import DiscreteSigmaTable, scaled_linear_betas

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import LCMScheduler
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr


def test_zero_terminal_levels_are_those_of_diffusers_but_for_the_last() -> None:
    betas = rescale_zero_terminal_snr(scaled_linear_betas())
    shares = torch.cumprod(1.0 - betas, dim=0)[:-1]
    wanted = ((1 - shares) / shares).sqrt().float()
    found = discrete_parameterization("v_prediction", is_zero_terminal=True).sigma_table.sigmas
    assert torch.allclose(found[:-1], wanted, rtol=1e-5)
    assert float(found[-1]) > float(found[-2])


def test_levels_of_distilled_networks_are_every_twentieth() -> None:
    whole = DiscreteSigmaTable.from_betas(scaled_linear_betas())
    table = DistilledSigmaTable.of(whole)
    steps = [19.0 + 20.0 * n for n in range(50)]
    assert table.c_noise(table.sigmas).tolist() == steps
    assert torch.equal(table.sigmas, whole.sigmas[19::20])
    for step in (19.0, 499.0, 505.0, 999.0):
        nearest = steps[min(range(50), key=lambda n, step=step: abs(steps[n] - step))]
        assert table.timestep(table.sigma_at(step)) == nearest
    assert (table.sigma_at_fraction(0.0), table.sigma_at_fraction(1.0)) == (float("inf"), 0.0)
    assert table.sigma_at_fraction(0.5) < table.sigma_at_fraction(0.25)


def test_consistency_models_are_mixed_with_their_input_as_by_diffusers() -> None:
    theirs = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    parameterization = discrete_parameterization("lcm", is_zero_terminal=False)
    assert isinstance(parameterization.prediction, LcmPrediction)
    x, noise = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    for step in (19, 499, 999):
        share = theirs.alphas_cumprod[step]
        kept, taken = theirs.get_scalings_for_boundary_condition_discrete(torch.tensor(step))
        sigma = ((1 - share) / share).sqrt()
        wanted = taken * (x - sigma * noise) + kept * x
        found = parameterization.denoise(lambda scaled, c_noise, inputs: noise, x, sigma[None], None)  # type: ignore[arg-type]
        assert torch.allclose(found, wanted, atol=1e-4)
