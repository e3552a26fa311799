"""The guidance a model handle carries, and how it is applied to the two sides of a prediction.

Rules are data: they never change what the network computes, so they are no part of a denoiser's identity and jobs that
differ in them alone still share forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.reuse import OutputReuse
from engine.diffusion.requests import Flow, Guided, Latent

__all__ = [
    "PLAIN",
    "Ask",
    "Combination",
    "Correction",
    "Guidance",
    "MaskRule",
    "Neutral",
    "Preparation",
    "Sides",
]


class Ask(Protocol):
    """ask(change): one more prediction by the changed model handle."""

    def __call__(
        self, change: Callable[[Any], Denoiser], *, avoids: bool = False, at: Latent | None = None
    ) -> Flow[Latent]:
        """Of the positive side, or with `avoids` of the negative one; at the same point, or at another latent."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """What there is at one point of a run.

    x: noisy latent [b c h w].
    sigma: its level.
    scale: strength of the guidance.
    wanted: prediction of the positive side.
    unwanted: prediction of the negative side; `wanted` where nothing guides.
    ask: for rules that need one more prediction.
    """

    x: Latent
    sigma: float
    scale: float
    wanted: Latent
    unwanted: Latent
    ask: Ask


class Preparation(Protocol):
    """A change of the sides before they are combined."""

    def start(self) -> Callable[[Sides], Sides]:
        """The change for one run; what it remembers between points is its own."""
        ...


class Combination(Protocol):
    """Another way to make one prediction of two."""

    def combine(self, sides: Sides) -> Latent:
        """The guided prediction."""
        ...


class Correction(Protocol):
    """A change of the guided prediction."""

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The changed prediction; may ask for more."""
        ...


class MaskRule(Protocol):
    """A change of the noise mask with the level."""

    def mask_at(self, mask: Latent, progress: float) -> Latent:
        """The mask for a point of the run; `progress` falls from 1 at its start to 0 at its end."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Neutral:
    """A third side that two others are compared with: its conditioning, and how much of the negative one is avoided."""

    conditioning: tuple[ConditioningEntry, ...]
    negative_scale: float


@dataclass(frozen=True, slots=True)
class Guidance:
    """Rules in the order they were added; of combinations, mask rules, third sides and reuse the last one counts."""

    prepare: tuple[Preparation, ...] = ()
    combination: Combination | None = None
    corrections: tuple[Correction, ...] = ()
    mask_rule: MaskRule | None = None
    neutral: Neutral | None = None
    reuse: OutputReuse | None = None

    def with_preparation(self, rule: Preparation) -> Guidance:
        """One more change of the sides."""
        return replace(self, prepare=(*self.prepare, rule))

    def with_combination(self, rule: Combination) -> Guidance:
        """Combined another way."""
        return replace(self, combination=rule)

    def with_correction(self, rule: Correction) -> Guidance:
        """One more change of the result."""
        return replace(self, corrections=(*self.corrections, rule))

    def with_mask_rule(self, rule: MaskRule) -> Guidance:
        """Masked another way."""
        return replace(self, mask_rule=rule)

    def with_neutral(self, neutral: Neutral) -> Guidance:
        """Guided from a third side, away from what the negative one does not share with the positive one."""
        return replace(self, neutral=neutral)

    def with_reuse(self, reuse: OutputReuse) -> Guidance:
        """Predicted from earlier points where that will do."""
        return replace(self, reuse=reuse)

    def start(self) -> Callable[[Sides], Flow[Guided]]:
        """The guidance of one run."""
        changes = [rule.start() for rule in self.prepare]

        def run(sides: Sides) -> Flow[Guided]:
            for change in changes:
                sides = change(sides)
            denoised = _combine_linearly(sides) if self.combination is None else self.combination.combine(sides)
            denoised = yield from self.correct(sides, denoised)
            return Guided(denoised, sides.unwanted)

        return run

    def correct(self, sides: Sides, denoised: Latent) -> Flow[Latent]:
        """The corrections alone, for guiders that combine in their own way."""
        return (yield from _correct(self.corrections, sides, denoised))


def _correct(corrections: Sequence[Correction], sides: Sides, denoised: Latent) -> Flow[Latent]:
    for rule in corrections:
        denoised = yield from rule.correct(sides, denoised)
    return denoised


def _combine_linearly(sides: Sides) -> Latent:
    """unwanted + (wanted - unwanted) · scale. Source: Ho & Salimans 2022, arXiv:2207.12598."""
    return sides.unwanted + (sides.wanted - sides.unwanted) * sides.scale


PLAIN = Guidance()
