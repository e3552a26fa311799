from __future__ import annotations

import pytest
import torch

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, FlowPrediction, VPrediction
from engine.diffusion.sigma_table import DiscreteSigmaTable, EdmSigmaTable, FlowSigmaTable, scaled_linear_betas

TABLE = DiscreteSigmaTable.from_betas(scaled_linear_betas())
SIGMA = torch.tensor([0.03, 0.5, 2.0, 14.0]).view(-1, 1, 1, 1)


def test_v_and_eps_networks_that_know_the_truth_agree() -> None:
    clean, noise = torch.randn(4, 4, 3, 3, dtype=torch.float64), torch.randn(4, 4, 3, 3, dtype=torch.float64)
    sigma = SIGMA.double()
    x = clean + sigma * noise
    alpha = (1 + sigma**2).rsqrt()
    v = alpha * noise - sigma * alpha * clean
    for prediction, output in ((EpsPrediction(), noise), (VPrediction(), v), (EdmPrediction(1.0), -v)):
        factors = prediction.factors(sigma)
        assert torch.allclose(x * factors.c_skip + output * factors.c_out, clean)


@pytest.mark.parametrize("prediction", [EpsPrediction(), VPrediction(), EdmPrediction(1.0)])
def test_the_network_sees_inputs_of_unit_variance(prediction: object) -> None:
    clean, noise = torch.randn(4, 1, 300, 300), torch.randn(4, 1, 300, 300)
    x = (clean + SIGMA * noise) * prediction.factors(SIGMA).c_in
    assert torch.allclose(x.std(dim=(1, 2, 3)), torch.ones(4), atol=0.02)


def test_the_network_is_told_the_training_step_and_fed_its_dtype() -> None:
    seen = {}

    def network(x: torch.Tensor, c_noise: torch.Tensor, inputs: ConditionInputs) -> torch.Tensor:
        seen.update(x=x, c_noise=c_noise)
        return torch.zeros_like(x)

    x = torch.randn(2, 4, 3, 3)
    sigma = torch.tensor([TABLE.sigma_at(700.0), TABLE.sigma_at(3.0)])
    denoised = Parameterization(EpsPrediction(), TABLE).denoise(network, x, sigma, ConditionInputs(), torch.bfloat16)
    assert seen["c_noise"].tolist() == [700.0, 3.0]
    assert seen["x"].dtype == torch.bfloat16
    assert denoised.dtype == torch.float32
    assert torch.equal(denoised, x)


def test_the_levels_of_stable_diffusion_are_the_published_ones() -> None:
    assert TABLE.sigma_min == pytest.approx(0.0291671582, rel=1e-6)
    assert TABLE.sigma_max == pytest.approx(14.6146412, rel=1e-6)


@pytest.mark.parametrize("table", [TABLE, EdmSigmaTable(), FlowSigmaTable(shift=3.0)])
def test_the_place_of_a_level_is_where_the_level_is(table: object) -> None:
    for fraction in (0.2, 0.5, 0.9):
        sigma = table.sigma_at_fraction(fraction)
        assert table.sigma_min < sigma < table.sigma_max


def test_a_flow_table_is_shifted_towards_noise() -> None:
    assert FlowSigmaTable(shift=3.0).sigma_at(500.0) == pytest.approx(0.75)
    assert FlowSigmaTable().sigma_at(500.0) == pytest.approx(0.5)


def test_identities_tell_parameterizations_apart() -> None:
    identities = {
        Parameterization(prediction, table).identity
        for prediction in (EpsPrediction(), VPrediction(), FlowPrediction())
        for table in (TABLE, EdmSigmaTable(), FlowSigmaTable(), FlowSigmaTable(shift=3.0))
    }
    assert len(identities) == 12
