"""SIGMAS values: noise levels by a formula or a model's table, and their editing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Literal

import torch

from engine.api import Bool, Choice, Float, Model, NodeError, Options, Range, Sigmas, Text, diffusion, node

__all__ = [
    "align_your_steps",
    "basic_levels",
    "beta_levels",
    "exponential_levels",
    "extend_intermediate",
    "flip",
    "fraction_to_sigma",
    "karras_levels",
    "laplace_levels",
    "manual_levels",
    "polyexponential_levels",
    "set_first",
    "split",
    "split_by_denoise",
    "turbo_levels",
    "variance_preserving_levels",
]

SCHEDULERS = "sampling/custom_sampling/schedulers"
EDITING = "sampling/custom_sampling/sigmas"
ABOVE_ALL = 999999999.9
"""Stands for a level above every other; JSON has no infinity."""
JUST_ABOVE_ZERO = 1e-4
"""Where a flipped schedule starts: nothing can be divided by level 0."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")

Steps = Annotated[int, Range(1, 10000)]
Denoise = Annotated[float, Range(0.0, 1.0, step=0.01)]
Level = Annotated[float, Range(0.0, 5000.0, step=0.01), Options(round=False)]
SchedulerName = Annotated[str, Choice(tuple(diffusion.DISCRETIZATIONS))]

SPACINGS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda place: place,
        "cosine": lambda place: math.sin(place * math.pi / 2),
        "sine": lambda place: 1.0 - math.cos(place * math.pi / 2),
    }
)


def _levels(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@node("BasicScheduler", category=SCHEDULERS)
def basic_levels(model: Model, scheduler: SchedulerName, steps: Steps = 20, denoise: Denoise = 1.0) -> Sigmas:
    """The levels KSampler would use."""
    return _levels(diffusion.discretize(scheduler, model.parameterization.sigma_table, steps, denoise))


@node("KarrasScheduler", category=SCHEDULERS)
def karras_levels(
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    rho: Annotated[float, Range(0.0, 100.0, step=0.01), Options(round=False)] = 7.0,
) -> Sigmas:
    """Karras et al.'s levels, dense near the clean end."""
    return _levels(diffusion.karras_levels(steps, sigma_min, sigma_max, rho))


@node("ExponentialScheduler", category=SCHEDULERS)
def exponential_levels(steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675) -> Sigmas:
    """Levels evenly spaced in log sigma."""
    return _levels(diffusion.exponential_levels(steps, sigma_min, sigma_max))


@node("PolyexponentialScheduler", category=SCHEDULERS)
def polyexponential_levels(
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    rho: Annotated[float, Range(0.0, 100.0, step=0.01), Options(round=False)] = 1.0,
) -> Sigmas:
    """Levels on a power of the log-sigma axis."""
    return _levels(diffusion.polyexponential_levels(steps, sigma_min, sigma_max, rho))


@node("LaplaceScheduler", category=SCHEDULERS)
def laplace_levels(
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    mu: Annotated[float, Range(-10.0, 10.0, step=0.1), Options(round=False)] = 0.0,
    beta: Annotated[float, Range(0.0, 10.0, step=0.1), Options(round=False)] = 0.5,
) -> Sigmas:
    """Levels whose logarithms follow a Laplace distribution; the last one is sigma_min or more, not 0."""
    return _levels(diffusion.laplace_levels(steps, sigma_min, sigma_max, mu, beta))


@node("VPScheduler", category=SCHEDULERS)
def variance_preserving_levels(
    steps: Steps = 20,
    beta_d: Level = 19.9,
    beta_min: Level = 0.1,
    eps_s: Annotated[float, Range(0.0, 1.0, step=0.0001), Options(round=False)] = 0.001,
) -> Sigmas:
    """Levels of the continuous variance-preserving process."""
    return _levels(diffusion.variance_preserving_levels(steps, beta_d, beta_min, eps_s))


@node("BetaSamplingScheduler", category=SCHEDULERS)
def beta_levels(
    model: Model,
    steps: Steps = 20,
    alpha: Annotated[float, Range(0.0, 50.0, step=0.01), Options(round=False)] = 0.6,
    beta: Annotated[float, Range(0.0, 50.0, step=0.01), Options(round=False)] = 0.6,
) -> Sigmas:
    """Levels at the model's training steps spaced by a Beta distribution."""
    return _levels(diffusion.beta_levels(model.parameterization.sigma_table, steps, alpha, beta))


@node("SDTurboScheduler", category=SCHEDULERS)
def turbo_levels(
    model: Model,
    steps: Annotated[int, Range(1, 10)] = 1,
    denoise: Annotated[float, Range(0, 1.0, step=0.01)] = 1.0,
) -> Sigmas:
    """Levels of SD-Turbo and SDXL-Turbo: every hundredth training step."""
    return _levels(diffusion.turbo_levels(model.parameterization.sigma_table, steps, denoise))


@node("AlignYourStepsScheduler", category=SCHEDULERS, schema_form=True)
def align_your_steps(model_type: Literal["SD1", "SDXL", "SVD"], steps: Steps = 10, denoise: Denoise = 1.0) -> Sigmas:
    """Levels optimized for a kind of model, interpolated to any number of steps."""
    return _levels(diffusion.align_your_steps_levels(model_type, steps, denoise))


@node("ManualSigmas", category=SCHEDULERS)
def manual_levels(sigmas: Annotated[str, Text()] = "1, 0.5") -> Sigmas:
    """The levels as they are written: numbers, with anything between them. Raises NodeError where there is none."""
    levels = [float(number) for number in _NUMBER.findall(sigmas)]
    if not levels or not all(map(math.isfinite, levels)):
        raise NodeError(
            "There are no noise levels in the text.", input="sigmas", hint="Write them as 14.6, 7.5, 2.1, 0."
        )
    return _levels(levels)


@node("SplitSigmas", category=EDITING, output_names=("high_sigmas", "low_sigmas"))
def split(sigmas: Sigmas, step: Annotated[int, Range(0, 10000)] = 0) -> tuple[Sigmas, Sigmas]:
    """The levels before and after a step; both hold the level where they meet."""
    return sigmas[: step + 1], sigmas[step:]


@node("SplitSigmasDenoise", category=EDITING, output_names=("high_sigmas", "low_sigmas"))
def split_by_denoise(sigmas: Sigmas, denoise: Denoise = 1.0) -> tuple[Sigmas, Sigmas]:
    """As SplitSigmas, with the last `denoise` of the steps in the second half."""
    steps = max(len(sigmas) - 1, 0)
    low_steps = round(steps * denoise)
    return sigmas[: steps - low_steps + 1], sigmas[steps - low_steps :]


@node("FlipSigmas", category=EDITING)
def flip(sigmas: Sigmas) -> Sigmas:
    """The levels from clean to noisy, for samplers that run backwards; a first 0 becomes 0.0001."""
    flipped = sigmas.flip(0)
    if len(flipped) and flipped[0] == 0:
        flipped[0] = JUST_ABOVE_ZERO
    return flipped


@node("SetFirstSigma", category=EDITING)
def set_first(
    sigmas: Sigmas, sigma: Annotated[float, Range(0.0, 20000.0, step=0.001), Options(round=False)] = 136.0
) -> Sigmas:
    """The levels with another first one."""
    return torch.cat([sigmas.new_tensor([sigma]), sigmas[1:]])


@node("ExtendIntermediateSigmas", category=EDITING)
def extend_intermediate(
    *,
    sigmas: Sigmas,
    steps: Annotated[int, Range(1, 100)] = 2,
    start_at_sigma: Annotated[float, Range(-1.0, 20000.0, step=0.01), Options(round=False)] = -1.0,
    end_at_sigma: Annotated[float, Range(0.0, 20000.0, step=0.01), Options(round=False)] = 12.0,
    spacing: Literal["linear", "cosine", "sine"],
) -> Sigmas:
    """Divide each step that starts between two levels into `steps`; -1 starts at the first level there is."""
    start = math.inf if start_at_sigma < 0 else start_at_sigma
    places = [SPACINGS[spacing](number / steps) for number in range(steps)]
    levels = sigmas.tolist()
    extended: list[float] = []
    for level, following in pairwise(levels):
        inner = places if end_at_sigma <= level <= start else (0.0,)
        extended += [level + (following - level) * place for place in inner]
    return _levels([*extended, *levels[-1:]])


@node("SamplingPercentToSigma", category=EDITING, output_names=("sigma_value",))
def fraction_to_sigma(
    model: Model,
    sampling_percent: Annotated[float, Range(0.0, 1.0, step=0.0001)] = 0.0,
    return_actual_sigma: Bool = False,
) -> Float:
    """The level after a part of the trajectory; at its ends the limit for comparisons, or the model's own level."""
    table = model.parameterization.sigma_table
    if return_actual_sigma and sampling_percent in (0.0, 1.0):
        return table.sigma_max if sampling_percent == 0.0 else table.sigma_min
    return min(table.sigma_at_fraction(sampling_percent), ABOVE_ALL)
