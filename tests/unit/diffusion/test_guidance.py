"""Guiders and the rules a model carries for them, against their formulas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.diffusion.guidance.differential import DifferentialMask
from engine.diffusion.guidance.epsilon_scaling import EpsilonScaling
from engine.diffusion.guidance.frequency import FrequencyScaling
from engine.diffusion.guidance.guidance import PLAIN, Guidance, Neutral, Sides
from engine.diffusion.guidance.latent_operation import OperationOnDifference
from engine.diffusion.guidance.leap import Leap
from engine.diffusion.guidance.norm import NormLimit
from engine.diffusion.guidance.projected import AdaptiveProjection
from engine.diffusion.guidance.renormalised import Renormalised
from engine.diffusion.guidance.rescale import Rescale
from engine.diffusion.guidance.reuse import OutputReuse
from engine.diffusion.guidance.tangential import TangentialDamping
from engine.diffusion.guidance.zero_star import ZeroStar
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.guiders.dual_cfg import DualCfg
from engine.diffusion.guiders.perp_neg import PerpNeg, perpendicular_negative
from engine.diffusion.latent import LatentInput
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import sample
from tests.gaussian_denoiser import EPS, GaussianDenoiser, entry

SIGMA, SCALE = 1.7, 3.0


def random(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def sides(scale: float = SCALE) -> Sides:
    return Sides(random(0) * SIGMA, SIGMA, scale, random(1), random(2), ask=lambda denoiser: iter(()))


def guided(guidance: Guidance, given: Sides | None = None) -> torch.Tensor:
    return drive(guidance.start()(given or sides())).denoised


LINEAR = guided(PLAIN)


def test_plain_guidance_is_linear() -> None:
    assert torch.equal(LINEAR, random(2) + (random(1) - random(2)) * SCALE)


def test_rescaled_guidance_has_the_contrast_of_the_positive_side_in_v_form() -> None:
    result = guided(PLAIN.with_combination(Rescale(1.0)))
    total = SIGMA**2 + 1
    v_of = lambda denoised: (random(0) * SIGMA / total - denoised) * total**0.5 / SIGMA  # noqa: E731
    assert torch.allclose(v_of(result).std(dim=(1, 2, 3)), v_of(random(1)).std(dim=(1, 2, 3)), rtol=1e-4)
    # The direction is that of linear guidance.
    ratio = v_of(result) / v_of(LINEAR)
    assert torch.allclose(ratio, ratio.mean(dim=(1, 2, 3), keepdim=True).expand_as(ratio), rtol=1e-3)


def test_frequencies_of_the_difference_are_scaled_by_themselves() -> None:
    def with_factors(low: float, high: float) -> torch.Tensor:
        return guided(PLAIN.with_preparation(OperationOnDifference(FrequencyScaling(low, high, 1))))

    assert torch.allclose(with_factors(1.0, 1.0), LINEAR, atol=1e-5)
    difference = random(1) - random(2)
    corner = torch.zeros(8, 8)
    corner[[0, 0, -1, -1], [0, -1, 0, -1]] = 1.0
    low = torch.fft.ifft2(torch.fft.fft2(difference) * corner).real
    assert torch.allclose(with_factors(2.0, 0.5), random(2) + (low * 2.0 + (difference - low) * 0.5) * SCALE, atol=1e-4)


def test_rescaling_by_nothing_is_linear_guidance() -> None:
    assert torch.allclose(guided(PLAIN.with_combination(Rescale(0.0))), LINEAR, atol=1e-5)


@pytest.mark.parametrize("limit", [0.0, 0.7, 1.0, 50.0])
def test_renormalised_guidance_is_that_of_lumina(limit: float) -> None:
    x, wanted, unwanted = (value.numpy() for value in (random(0) * SIGMA, random(1), random(2)))
    # The published formula for what the network puts out, here the noise, item by item.
    positive, negative = (x - wanted) / SIGMA, (x - unwanted) / SIGMA
    expected = negative + SCALE * (positive - negative)
    for item in range(2):
        largest, norm = np.linalg.norm(positive[item]) * limit, np.linalg.norm(expected[item])
        if limit > 0 and norm >= largest:
            expected[item] *= largest / norm
    found = guided(PLAIN.with_combination(Renormalised(100.0, limit)))
    assert np.allclose(found.numpy(), x - expected * SIGMA, atol=1e-4)


def test_renormalised_guidance_leaves_levels_above_its_truncation_unguided() -> None:
    assert torch.equal(guided(PLAIN.with_combination(Renormalised(SIGMA, 1.0))), random(1))


def test_zero_star_is_linear_guidance_from_a_negative_side_of_scaled_slope() -> None:
    given = sides()
    slopes = given.x - given.wanted, given.x - given.unwanted
    shares = [float(a.flatten() @ b.flatten() / (b.flatten() @ b.flatten())) for a, b in zip(*slopes, strict=True)]
    negative = given.x - slopes[1] * torch.tensor(shares).view(-1, 1, 1, 1)
    expected = negative + (given.wanted - negative) * SCALE
    assert torch.allclose(guided(PLAIN.with_correction(ZeroStar())), expected, atol=1e-5)


def test_the_norm_over_channels_is_at_most_that_of_the_positive_side() -> None:
    result = guided(PLAIN.with_correction(NormLimit()))
    assert bool((result.norm(dim=1) <= random(1).norm(dim=1) * (1 + 1e-5)).all())
    below = LINEAR.norm(dim=1) < random(1).norm(dim=1)
    assert torch.allclose(result.movedim(1, -1)[below], LINEAR.movedim(1, -1)[below], atol=1e-5)


def test_a_leap_is_taken_as_far_as_it_points_away_from_the_negative_side() -> None:
    def with_negative(negative: torch.Tensor) -> torch.Tensor:
        wanted = random(1)
        given = Sides(random(0), SIGMA, SCALE, wanted, negative, ask=lambda denoiser: iter(()))
        return guided(PLAIN.with_correction(Leap()), given)

    # Beside a positive side of the same direction nothing is gained by the leap; opposite to it, all of it is taken.
    alike, opposite = random(1) * 0.5, random(1) * -1e-4
    assert torch.allclose(with_negative(alike), alike + (random(1) - alike) * SCALE, atol=1e-4)
    assert torch.allclose(with_negative(opposite), random(1) * SCALE, atol=1e-3)
    share = (with_negative(random(2)) - random(1) * SCALE) / (LINEAR - random(1) * SCALE)
    assert torch.allclose(share, share[:, :1, :1, :1].expand_as(share), atol=1e-2)
    assert bool(((share > 0) & (share < 1)).all())


def test_tangential_damping_leaves_the_part_both_sides_share() -> None:
    given = sides()
    damped = given.x - TangentialDamping().start()(given).unwanted
    both = torch.stack([(given.x - given.wanted).flatten(1), (given.x - given.unwanted).flatten(1)], dim=1)
    first = torch.linalg.svd(both, full_matrices=False).Vh[:, 0]
    rest = (given.x - given.unwanted).flatten(1) - damped.flatten(1)
    assert torch.allclose((rest * first).sum(1), torch.zeros(2), atol=1e-3)
    assert torch.allclose(damped.flatten(1).norm(dim=1), (damped.flatten(1) * first).sum(1).abs(), rtol=1e-4)


def test_unbounded_projection_that_keeps_everything_is_linear_guidance() -> None:
    assert torch.allclose(guided(PLAIN.with_preparation(AdaptiveProjection(1.0, 0.0, 0.0))), LINEAR, atol=1e-5)


def test_projected_guidance_is_orthogonal_to_the_positive_side_and_bounded() -> None:
    change = guided(PLAIN.with_preparation(AdaptiveProjection(0.0, 2.0, 0.0))) - random(1)
    assert torch.allclose((change * random(1)).sum(dim=(1, 2, 3)), torch.zeros(2), atol=1e-3)
    assert bool((change.flatten(1).norm(dim=1) <= 2.0 * (SCALE - 1) * (1 + 1e-5)).all())


def test_momentum_adds_up_within_a_run_and_starts_anew_in_the_next() -> None:
    guidance = PLAIN.with_preparation(AdaptiveProjection(1.0, 0.0, 0.5))
    run = guidance.start()
    first, second = drive(run(sides())).denoised, drive(run(sides())).denoised
    assert torch.allclose(first, LINEAR, atol=1e-5)
    assert torch.allclose(second - random(1), (first - random(1)) * 1.5, atol=1e-4)
    assert torch.equal(guided(guidance), first)


def test_scaled_epsilon_is_the_predicted_noise_divided() -> None:
    result = guided(PLAIN.with_correction(EpsilonScaling(1.25)))
    x = sides().x
    assert torch.allclose((x - result) * 1.25, x - LINEAR, atol=1e-5)


def test_an_operation_works_on_the_difference_of_both_sides() -> None:
    result = guided(PLAIN.with_preparation(OperationOnDifference(lambda latent: latent * 0.5)))
    assert torch.allclose(result, random(2) + (random(1) - random(2)) * 0.5 * SCALE, atol=1e-5)


def test_corrections_apply_in_the_order_they_were_added() -> None:
    both = PLAIN.with_correction(EpsilonScaling(2.0)).with_correction(NormLimit())
    halved = sides().x - (sides().x - LINEAR) / 2
    limit = (random(1).norm(dim=1, keepdim=True) / halved.norm(dim=1, keepdim=True)).clamp(max=1)
    assert torch.allclose(guided(both), halved * limit, atol=1e-5)


def test_rules_are_no_part_of_what_decides_which_forwards_merge() -> None:
    plain = GaussianDenoiser()
    assert plain.with_guidance(PLAIN.with_combination(Rescale(0.7))).identity == plain.identity


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_cfg_follows_the_rules_of_its_model(scale: float) -> None:
    model = GaussianDenoiser(guidance=PLAIN.with_correction(EpsilonScaling(2.0)))
    x = random(3)
    plain = drive(Cfg(GaussianDenoiser(), (entry(3.0),), (entry(1.0),), scale).bind(x, None)(x, SIGMA)).denoised
    result = drive(Cfg(model, (entry(3.0),), (entry(1.0),), scale).bind(x, None)(x, SIGMA)).denoised
    assert torch.allclose(result, (x + plain) / 2, atol=1e-5)


def test_at_scale_1_the_unguided_prediction_is_asked_for_when_it_is_wanted() -> None:
    x = random(3)
    guider = Cfg(GaussianDenoiser(), (entry(3.0),), (entry(1.0),), 1.0)
    answer = drive(guider.bind(x, None, wants_unguided=True)(x, SIGMA))
    unguided = drive(Basic(GaussianDenoiser(), (entry(1.0),)).bind(x, None)(x, SIGMA)).denoised
    assert torch.equal(answer.unguided, unguided)
    assert len(next(guider.bind(x, None, wants_unguided=True)(x, SIGMA)).requests) == 2


def predicted(mean: float, x: torch.Tensor) -> torch.Tensor:
    return drive(Basic(GaussianDenoiser(), (entry(mean),)).bind(x, None)(x, SIGMA)).denoised


@pytest.mark.parametrize("style", ["regular", "nested"])
def test_dual_guidance_combines_three_predictions_of_one_group(style: str) -> None:
    x = random(3)
    first, second, negative = (predicted(mean, x) for mean in (3.0, 2.0, -1.0))
    guider = DualCfg(GaussianDenoiser(), (entry(3.0),), (entry(2.0),), (entry(-1.0),), 5.0, 4.0, style)
    guide = guider.bind(x, None)
    assert len(next(guide(x, SIGMA)).requests) == 3
    if style == "regular":
        expected = negative + (second - negative) * 4 + (first - second) * 5
    else:
        expected = negative + (second + (first - second) * 5 - negative) * 4
    assert torch.allclose(drive(guide(x, SIGMA)).denoised, expected, atol=1e-4)


def test_a_negative_side_that_only_repeats_the_positive_one_takes_nothing_away() -> None:
    positive, empty = random(1), random(2)
    along = empty + (positive - empty) * 0.7
    result = perpendicular_negative(positive, along, empty, 5.0, 2.0)
    assert torch.allclose(result, empty + (positive - empty) * 5.0, atol=1e-4)


def test_what_the_negative_side_takes_away_is_perpendicular_to_the_positive_one() -> None:
    positive, negative, empty = random(1), random(2), random(3)
    taken = empty + (positive - empty) * 5.0 - perpendicular_negative(positive, negative, empty, 5.0, 2.0)
    assert torch.allclose((taken * (positive - empty)).sum(dim=(1, 2, 3)), torch.zeros(2), atol=5e-3)
    assert float(taken.abs().max()) > 1.0


def test_cfg_with_a_third_side_on_its_model_is_perp_neg() -> None:
    sides = ((entry(3.0),), (entry(-1.0),))
    model = GaussianDenoiser(guidance=PLAIN.with_neutral(Neutral((entry(0.5),), 0.7)))
    found, wanted = (
        drive(guider.bind(random(3), None)(random(3), SIGMA))
        for guider in (Cfg(model, *sides, 2.0), PerpNeg(GaussianDenoiser(), *sides, (entry(0.5),), 2.0, 0.7))
    )
    assert torch.equal(found.denoised, wanted.denoised)
    assert torch.equal(found.unguided, wanted.unguided)


def test_perp_neg_asks_three_predictions_and_gives_the_empty_one_as_unguided() -> None:
    x = random(3)
    guider = PerpNeg(GaussianDenoiser(), (entry(3.0),), (entry(-1.0),), (entry(0.0),), 2.0)
    assert len(next(guider.bind(x, None)(x, SIGMA)).requests) == 3
    assert torch.equal(drive(guider.bind(x, None)(x, SIGMA)).unguided, predicted(0.0, x))


def test_a_differential_mask_opens_places_as_the_run_goes_on() -> None:
    mask = torch.tensor([0.0, 0.3, 0.7, 1.0])
    assert DifferentialMask().mask_at(mask, 1.0).tolist() == [0, 0, 0, 1]
    assert DifferentialMask().mask_at(mask, 0.5).tolist() == [0, 0, 1, 1]
    assert DifferentialMask().mask_at(mask, 0.2).tolist() == [0, 1, 1, 1]
    assert torch.allclose(DifferentialMask(0.5).mask_at(mask, 0.5), torch.tensor([0.0, 0.15, 0.85, 1.0]))


def test_a_run_with_a_differential_mask_keeps_black_and_makes_white() -> None:
    clean = torch.full((1, 4, 8, 8), 5.0)
    mask = torch.linspace(0, 1, 8).expand(1, 1, 8, 8).contiguous()
    model = GaussianDenoiser(std=0.1, guidance=PLAIN.with_mask_rule(DifferentialMask()))
    sigmas = [14.6, 8.0, 4.0, 2.0, 1.0, 0.5, 0.0]
    latent = LatentInput(clean, mask)
    columns = drive(sample(Basic(model, (entry(0.0),)), SAMPLERS["euler"], sigmas, latent, seed=3)).mean(dim=(0, 1, 2))
    assert float(columns[0]) == 5.0
    assert abs(float(columns[-1])) < 0.5
    assert bool((columns.diff() <= 0.05).all())


@pytest.mark.parametrize(
    ("guider", "wanted"),
    [
        (lambda network, side: Cfg(network, side, side, 2.0), [False, True]),
        (lambda network, side: DualCfg(network, side, side, side, 2.0, 3.0), [False, False, True]),
        (lambda network, side: PerpNeg(network, side, side, side, 2.0), [False, True, False]),
        (lambda network, side: Basic(network, side), [False]),
    ],
)
def test_networks_are_told_which_side_is_to_be_avoided(guider, wanted: list[bool]) -> None:
    told: list[bool] = []

    @dataclass(frozen=True)
    class Listening(GaussianDenoiser):
        def condition(self, given, latent, noise_mask):
            told.append(given.is_negative)
            return super().condition(given, latent, noise_mask)

    guider(Listening(), (entry(0.0),)).bind(torch.zeros(1, 4, 4, 4), None)
    assert told == wanted


# ------------------------------------------------------------------ predictions left out


def published_run(x: np.ndarray, sigmas: list[float], threshold: float, num_kept: int) -> tuple[np.ndarray, list[int]]:
    """Euler's method with the authors' own bookkeeping around a network that predicts noise; the steps computed.

    The first `num_kept` steps and the last are computed whatever happens. The data are Gaussian of deviation 1.
    """
    computed: list[int] = []
    before = output = rate_input = cache = rate = None
    drift = 0.0
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        given = x / np.sqrt(1 + sigma**2)
        reuses = False
        if num_kept <= step < len(sigmas) - 2 and rate is not None:
            drift += rate * np.abs(given - before).mean() / np.abs(output).mean()
            reuses = drift < threshold
        before = given
        if reuses:
            noise = given + cache
        else:
            computed.append(step)
            drift = 0.0
            noise = (x - x / (1 + sigma**2)) / sigma
            if output is not None:
                rate = np.abs(noise - output).mean() / np.abs(given - rate_input).mean()
            output, rate_input, cache = noise, given, noise - given
        x = x + noise * (following - sigma)
    return x, computed


def test_outputs_are_reused_where_the_published_method_reuses_them() -> None:
    table = EPS.sigma_table
    sigmas = [table.sigma_at_fraction(0.2 + 0.04 * step) for step in range(20)]
    start = table.sigma_at_fraction(0.2 + 0.04 * 2.5)
    x = random(3) * sigmas[0]
    for threshold in (0.05, 0.2):
        wanted, steps = published_run(x.numpy().astype(np.float64), sigmas, threshold, 3)
        rule = OutputReuse(threshold, start=0.2 + 0.04 * 2.5, end=0.2 + 0.04 * 17.5)
        assert sigmas[2] > start > sigmas[3]
        model = GaussianDenoiser().with_guidance(PLAIN.with_reuse(rule))
        guide = Basic(model, (entry(0.0),)).bind(x, None)
        found = x
        for sigma, following in pairwise(sigmas):
            found = found + (found - drive(guide(found, sigma)).denoised) / sigma * (following - sigma)
        assert 5 < len(steps) < 18
        assert len(model.forwards) == len(steps)
        assert np.allclose(found.numpy(), wanted, atol=1e-4)


def test_both_sides_of_guidance_are_left_out_together_and_a_threshold_of_0_leaves_nothing_out() -> None:
    counts = {}
    for threshold in (0.0, 3.0):
        model = GaussianDenoiser().with_guidance(PLAIN.with_reuse(OutputReuse(threshold)))
        guide = Cfg(model, (entry(1.0),), (entry(-1.0),), SCALE).bind(random(0), None)
        for step in range(6):
            drive(guide(random(0) * (6.0 - step), 6.0 - step))
        counts[threshold] = len(model.forwards)
    assert counts == {0.0: 12, 3.0: 4}
