"""Noise levels, weightings and the loss, against their formulae."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.noise_path import FLOW_PATH
from engine.diffusion.sigma_table import EdmSigmaTable, FlowSigmaTable
from engine.training.loss import diffusion_loss
from engine.training.parameterization import DiscreteTable, EdmTable, FlowTable, ParameterizationRecipe
from engine.training.randomness import StepChance, derived_seed
from engine.training.sigma_sampling import DiscreteSampling, LogitNormalSampling, LogNormalSampling, UniformSampling
from engine.training.weighting import EdmWeighting, EpsWeighting, MinSnrWeighting, UnitWeighting, VWeighting

CPU = torch.device("cpu")
NOTHING = ConditionInputs()


def chance(count: int, first: int = 0, total: int | None = None, step: int = 0) -> StepChance:
    return StepChance(7, step, first, count, total or count, CPU)


def network(x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
    return torch.tanh(x * 1.3 + 0.01 * c_noise.view(-1, 1, 1, 1))


class Fixed:
    """A sampling of given levels."""

    def __init__(self, *sigmas: float) -> None:
        self.sigmas = torch.tensor(sigmas)

    def draw(self, chance: StepChance, table: object) -> Tensor:
        return self.sigmas


# ------------------------------------------------------------------ randomness


def test_rows_of_a_step_are_the_same_however_the_step_is_divided() -> None:
    whole = chance(12).normal("noise", (2, 3))
    parts = [chance(4, first, 12).normal("noise", (2, 3)) for first in (0, 4, 8)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(torch.cat([chance(6, first, 12).uniform("u") for first in (0, 6)]), chance(12).uniform("u"))


def test_purposes_steps_and_seeds_have_numbers_of_their_own() -> None:
    drawn = [chance(4, step=step).normal(purpose, (3,)) for step in (0, 1) for purpose in ("noise", "sigma")]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == 4
    assert derived_seed(1, "a") != derived_seed(2, "a")
    assert 0 <= derived_seed("x") < 2**63


def test_the_first_draw_of_a_batch_says_step_and_rows() -> None:
    found = StepChance.of_batch(7, first_draw=44, count=4, total=16, device=CPU)
    assert (found.step, found.first, found.count, found.total) == (2, 12, 4, 16)


# ------------------------------------------------------------------ noise levels


def test_log_normal_levels_have_the_given_mean_and_deviation_of_their_logarithm() -> None:
    logs = LogNormalSampling("log_normal", mean=-1.2, std=1.2).draw(chance(20_000), EdmSigmaTable()).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(logs.std()) == pytest.approx(1.2, abs=0.03)


def test_stratified_levels_leave_no_gap_in_a_step() -> None:
    sampling = LogNormalSampling("log_normal", mean=0.5, std=1.0, is_stratified=True)
    normal = sampling.draw(chance(8), EdmSigmaTable()).log().sub(0.5)
    shares = torch.special.ndtr(normal).mul(8).floor().sort().values
    assert shares.tolist() == list(range(8))


def test_levels_beyond_the_table_become_its_ends() -> None:
    table = DiscreteTable().build()
    drawn = LogNormalSampling("log_normal", mean=2.0, std=3.0).draw(chance(1000), table)
    assert (float(drawn.min()), float(drawn.max())) == (table.sigma_min, table.sigma_max)


def test_discrete_levels_are_those_of_the_table_equally_often() -> None:
    table = DiscreteTable(num_steps=10).build()
    drawn = DiscreteSampling("discrete").draw(chance(20_000), table)
    counts = torch.tensor([int((drawn == sigma).sum()) for sigma in table.sigmas])
    assert int(counts.sum()) == 20_000
    assert float((counts / 2000 - 1).abs().max()) < 0.1


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_of_a_flow_are_shifted_as_its_table_says(shift: float) -> None:
    table = FlowSigmaTable(shift=shift)
    drawn = LogitNormalSampling("logit_normal").draw(chance(20_000), table)
    assert float(drawn.median()) == pytest.approx(shift * 0.5 / (1 + (shift - 1) * 0.5), abs=0.01)
    uniform = UniformSampling("uniform").draw(chance(20_000), table)
    assert 0 < float(uniform.min()) < float(uniform.max()) < 1


# ------------------------------------------------------------------ weightings


def test_weightings_follow_their_formulae() -> None:
    sigma = torch.tensor([0.1, 1.0, 8.0])
    eps = ParameterizationRecipe().build().prediction
    flow = ParameterizationRecipe("flow", FlowTable("flow")).build().prediction
    assert torch.equal(UnitWeighting("unit").weight(sigma, eps), torch.ones(3))
    assert torch.allclose(EpsWeighting("eps").weight(sigma, eps), torch.tensor([100.0, 1.0, 1 / 64]))
    assert torch.allclose(VWeighting("v").weight(sigma, eps), torch.tensor([101.0, 2.0, 65 / 64]))
    edm = EdmWeighting("edm", sigma_data=0.5).weight(sigma, eps)
    assert torch.allclose(edm, torch.tensor([(0.01 + 0.25) / 0.0025, 1.25 / 0.25, 64.25 / 16]))
    assert torch.allclose(MinSnrWeighting("min_snr", 5.0).weight(sigma, eps), torch.tensor([5.0, 1.0, 1 / 64]))
    half = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(MinSnrWeighting("min_snr", 5.0).weight(half, flow), torch.tensor([5.0, 1.0, (1 / 9) ** 2]))


# ------------------------------------------------------------------ the loss is the one of the network's own target

SIGMAS = (0.3, 1.0, 2.5)


def raw_errors(prediction: str, recipe: ParameterizationRecipe, sigmas: tuple[float, ...]) -> Tensor:
    """Squared errors of the raw network output against its target, per example."""
    parameterization = recipe.build()
    latent = torch.randn(len(sigmas), 2, 4, 4, generator=torch.Generator().manual_seed(1))
    noise = chance(len(sigmas)).normal("noise", (2, 4, 4))
    sigma = torch.tensor(sigmas).view(-1, 1, 1, 1)
    if parameterization.prediction.path is FLOW_PATH:
        noisy, target = latent * (1 - sigma) + noise * sigma, noise - latent
    else:
        noisy = latent + noise * sigma
        alpha, part = 1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()
        target = {"eps": noise, "v": alpha * noise - part * latent}[prediction]
    factors = parameterization.prediction.factors(sigma)
    output = network(noisy * factors.c_in, parameterization.sigma_table.c_noise(sigma.flatten()), NOTHING)
    return (output - target).square().flatten(1).mean(dim=1)


def loss(recipe: ParameterizationRecipe, weighting: object, sigmas: tuple[float, ...]) -> Tensor:
    latent = torch.randn(len(sigmas), 2, 4, 4, generator=torch.Generator().manual_seed(1))
    return diffusion_loss(
        network, recipe.build(), latent, NOTHING, chance(len(sigmas)), Fixed(*sigmas), weighting  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "recipe", "weighting", "sigmas"),
    [
        ("eps", ParameterizationRecipe("eps"), EpsWeighting("eps"), SIGMAS),
        ("v", ParameterizationRecipe("v"), VWeighting("v"), SIGMAS),
        ("flow", ParameterizationRecipe("flow", FlowTable("flow")), EpsWeighting("eps"), (0.2, 0.5, 0.9)),
    ],
)
def test_the_matching_weighting_gives_the_plain_error_of_the_networks_target(
    prediction: str, recipe: ParameterizationRecipe, weighting: object, sigmas: tuple[float, ...]
) -> None:
    assert float(loss(recipe, weighting, sigmas)) == pytest.approx(
        float(raw_errors(prediction, recipe, sigmas).mean()), rel=1e-5
    )


def test_edm_weighting_makes_every_level_count_the_same() -> None:
    recipe = ParameterizationRecipe("edm", EdmTable("edm"), 0.5)
    prediction = recipe.build().prediction
    sigma = torch.tensor(SIGMAS)
    weight = EdmWeighting("edm", 0.5).weight(sigma, prediction)
    assert torch.allclose(weight * prediction.factors(sigma).c_out ** 2, torch.ones(3))


def test_min_snr_bounds_the_plain_error_of_noise() -> None:
    recipe = ParameterizationRecipe("eps")
    snr = torch.tensor(SIGMAS) ** -2
    wanted = (raw_errors("eps", recipe, SIGMAS) * (5.0 / snr).clamp(max=1)).mean()
    assert float(loss(recipe, MinSnrWeighting("min_snr", 5.0), SIGMAS)) == pytest.approx(float(wanted), rel=1e-5)


def test_offset_noise_is_one_value_a_channel() -> None:
    seen = []

    def spy(x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        seen.append(x)
        return x

    arguments = (ParameterizationRecipe("eps").build(), torch.zeros(2, 3, 4, 4), NOTHING, chance(2), Fixed(1.0, 1.0))
    for offset in (0.0, 0.5):
        diffusion_loss(spy, *arguments, UnitWeighting("unit"), offset)
    difference = (seen[1] - seen[0]) * math.sqrt(2)
    assert torch.allclose(difference, difference[:, :, :1, :1].expand_as(difference), atol=1e-6)
    assert torch.allclose(difference[:, :, 0, 0], 0.5 * chance(2).normal("offset_noise", (3, 1, 1))[:, :, 0, 0])


def test_the_defaults_are_the_noise_levels_of_stable_diffusion_1() -> None:
    from engine.families.sd1.network import parameterization

    assert ParameterizationRecipe().build().identity == parameterization(False).identity
    assert ParameterizationRecipe("v").build().identity == parameterization(True).identity


@pytest.mark.parametrize(("prediction", "table"), [("flow", DiscreteTable()), ("eps", FlowTable("flow"))])
def test_a_flow_needs_the_table_of_a_flow(prediction: str, table: object) -> None:
    with pytest.raises(ValueError, match="belong together"):
        ParameterizationRecipe(prediction, table)  # type: ignore[arg-type]
