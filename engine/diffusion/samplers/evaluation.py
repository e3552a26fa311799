"""What a method makes of one answer of its guide: the plain way, and that of CFG++.

A method that steps by these instead of by `guide` alone has a CFG++ form without a second copy of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from engine.diffusion.requests import Flow, Latent

__all__ = ["Evaluate", "Evaluation", "guided", "renoised"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One answer.

    x: the place to step from.
    denoised: where the step leads in the end.
    kept: the prediction a multistep method remembers; with `renoises` it is the unguided one.
    """

    x: Latent
    denoised: Latent
    kept: Latent
    renoises: bool = False

    def start_for(self, x: Latent, denoised: Latent) -> Latent:
        """Where a step from x starts if `denoised` is where it leads and the noise is this evaluation's."""
        return x + (denoised - self.kept) if self.renoises else x


class Evaluate(Protocol):
    """evaluate(guide, x, sigma): a flow that asks the guide once."""

    def __call__(self, guide: Any, x: Latent, sigma: float) -> Flow[Evaluation]:
        """Start one evaluation."""
        ...


def guided(guide: Any, x: Latent, sigma: float) -> Flow[Evaluation]:
    """Step from where x is; `guide` is a Guide."""
    denoised = yield from guide(x, sigma)
    return Evaluation(x, denoised, denoised)


def renoised(guide: Any, x: Latent, sigma: float) -> Flow[Evaluation]:
    """CFG++: the noise put back is that of the unguided prediction; `guide` is a FullGuide.

    A step to sigma' is then denoised + (x - unguided)·sigma'/sigma, which is the plain step from x + denoised -
    unguided. Source: Chung et al. 2024, arXiv:2406.08070, algorithm 2.
    """
    answer = yield from guide(x, sigma)
    return Evaluation(x + (answer.denoised - answer.unguided), answer.denoised, answer.unguided, renoises=True)
