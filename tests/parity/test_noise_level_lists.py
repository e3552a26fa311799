"""Every discretization's levels as lists: against the published formulas in float64, and against diffusers.

The levels are those of SD 1, SD 2 and SDXL, which share their betas.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.stats import beta as beta_distribution

from engine.diffusion.discretization.registry import DISCRETIZATIONS, discretize
from engine.diffusion.sigma_table import DiscreteSigmaTable, scaled_linear_betas

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDIMScheduler, EulerDiscreteScheduler
    from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

TABLE = DiscreteSigmaTable.from_betas(scaled_linear_betas())
NUM_LEVELS = 1000
BETAS = np.linspace(0.00085**0.5, 0.012**0.5, NUM_LEVELS) ** 2
SHARES = np.cumprod(1.0 - BETAS)
SIGMAS = np.sqrt((1.0 - SHARES) / SHARES)
LOW, HIGH = SIGMAS[0], SIGMAS[-1]
COUNTS = (1, 2, 3, 4, 7, 20, 25, 30, 1000)
TOLERANCE, KARRAS_TOLERANCE, THEIR_TOLERANCE = 1e-6, 2e-6, 3e-5
"""Relative. Karras's seventh power is taken in single precision, as in k-diffusion, whose lists ours equal; diffusers
multiplies a thousand shares in single precision."""
SETTINGS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def at(places: np.ndarray) -> np.ndarray:
    """Levels at places of the training axis, log-linear between the table's entries."""
    return np.exp(np.interp(places, np.arange(NUM_LEVELS), np.log(SIGMAS)))


def linear_quadratic(steps: int, threshold: float = 0.025) -> np.ndarray:
    """A line to the threshold, then the parabola that continues its value and slope and ends at 1."""
    if steps == 1:
        return np.array([HIGH])
    half = steps // 2
    after, slope = np.arange(steps) - half, threshold / half
    rest = steps - half
    bend = (1.0 - threshold - slope * rest) / rest**2
    return HIGH * (1.0 - threshold - slope * after - np.where(after > 0, bend * after**2, 0.0))


FORMULAS: Mapping[str, Callable[[int], np.ndarray]] = {
    "simple": lambda n: SIGMAS[[NUM_LEVELS - 1 - int(k * NUM_LEVELS / n) for k in range(n)]],
    "normal": lambda n: at(np.linspace(NUM_LEVELS - 1, 0, n)),
    "sgm_uniform": lambda n: at(np.linspace(NUM_LEVELS - 1, 0, n + 1)[:-1]),
    "ddim_uniform": lambda n: SIGMAS[1 :: max(NUM_LEVELS // n, 1)][::-1],
    "beta": lambda n: SIGMAS[
        np.rint(beta_distribution.ppf(1 - np.arange(n) / n, 0.6, 0.6) * (NUM_LEVELS - 1)).astype(int)
    ],
    "linear_quadratic": linear_quadratic,
    "kl_optimal": lambda n: np.tan(np.linspace(np.arctan(HIGH), np.arctan(LOW), n)),
    "karras": lambda n: np.linspace(HIGH ** (1 / 7), LOW ** (1 / 7), n) ** 7,
    "exponential": lambda n: np.geomspace(HIGH, LOW, n),
}


def reference(name: str, steps: int, denoise: float) -> np.ndarray:
    """Levels of a run; of part of the trajectory, the end of a longer run. A level comes once."""
    whole = steps if denoise == 1.0 else int(steps / denoise)
    found = np.array([*dict.fromkeys(FORMULAS[name](whole).tolist()), 0.0])
    return found if denoise == 1.0 else found[-(steps + 1) :]


def assert_equal(found: tuple[float, ...], wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
    assert len(found) == len(wanted)
    assert found[-1] == wanted[-1] == 0.0
    np.testing.assert_allclose(found[:-1], wanted[:-1], rtol=tolerance)


def test_the_formulas_cover_every_discretization() -> None:
    assert FORMULAS.keys() == DISCRETIZATIONS.keys()


@pytest.mark.parametrize("denoise", [1.0, 0.6, 0.35])
@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_levels_are_those_of_the_published_formula(name: str, denoise: float) -> None:
    for steps in COUNTS if denoise == 1.0 else COUNTS[:-1]:
        tolerance = KARRAS_TOLERANCE if name == "karras" else TOLERANCE
        assert_equal(discretize(name, TABLE, steps, denoise), reference(name, steps, denoise), tolerance)


@pytest.mark.parametrize("steps", [2, 4, 20, 25])
def test_levels_are_those_of_schedulers_of_diffusers(steps: int) -> None:
    def euler(**options: object) -> np.ndarray:
        scheduler = EulerDiscreteScheduler(**SETTINGS, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(steps)
        return scheduler.sigmas.double().numpy()

    assert_equal(discretize("karras", TABLE, steps), euler(use_karras_sigmas=True), THEIR_TOLERANCE)
    assert_equal(discretize("exponential", TABLE, steps), euler(use_exponential_sigmas=True), THEIR_TOLERANCE)
    assert_equal(discretize("simple", TABLE, steps), euler(timestep_spacing="trailing"), THEIR_TOLERANCE)
    ddim = DDIMScheduler(**SETTINGS, steps_offset=1)
    ddim.set_timesteps(steps)
    shares = ddim.alphas_cumprod.double()[ddim.timesteps]
    assert_equal(
        discretize("ddim_uniform", TABLE, steps),
        np.append(((1 - shares) / shares).sqrt().numpy(), 0.0),
        THEIR_TOLERANCE,
    )
    noise = np.append(np.array(linear_quadratic_schedule(steps, 0.025)) * HIGH, 0.0)
    assert_equal(discretize("linear_quadratic", TABLE, steps), noise)
