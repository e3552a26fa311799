"""The discretizations by the names that workflow files use, and the rules around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from engine.core.errors import NodeError
from engine.diffusion.discretization.beta import beta
from engine.diffusion.discretization.ddim_uniform import ddim_uniform
from engine.diffusion.discretization.exponential import exponential
from engine.diffusion.discretization.karras import karras
from engine.diffusion.discretization.kl_optimal import kl_optimal
from engine.diffusion.discretization.linear_quadratic import linear_quadratic
from engine.diffusion.discretization.normal import normal, sgm_uniform
from engine.diffusion.discretization.simple import simple
from engine.diffusion.sigma_table import SigmaTable

__all__ = ["DISCRETIZATIONS", "Discretization", "discretize"]

Discretization = Callable[[SigmaTable, int], tuple[float, ...]]

DISCRETIZATIONS: Mapping[str, Discretization] = MappingProxyType(
    {
        "simple": simple,
        "sgm_uniform": sgm_uniform,
        "karras": karras,
        "exponential": exponential,
        "ddim_uniform": ddim_uniform,
        "beta": beta,
        "normal": normal,
        "linear_quadratic": linear_quadratic,
        "kl_optimal": kl_optimal,
    }
)


def discretize(
    name: str, table: SigmaTable, steps: int, denoise: float = 1.0, *, drops_penultimate: bool = False
) -> tuple[float, ...]:
    """The noise levels of a run.

    Args:
        name: key of `DISCRETIZATIONS`.
        table: levels the network knows.
        steps: at least 1.
        denoise: part of the trajectory to run, in (0, 1]; below 1 the levels are the last steps + 1 of a longer run.
            0 or less gives no levels.
        drops_penultimate: compute one more step and leave out the smallest level above 0, for samplers that evaluate
            between levels.

    More steps than the table has entries can name an entry twice; levels are kept once, since a step of length 0 has
    no slope.

    Raises:
        NodeError: no discretization of that name.
    """
    if name not in DISCRETIZATIONS:
        raise NodeError(f"There is no scheduler named {name!r}.", code="unknown_discretization")
    if denoise <= 0.0:
        return ()
    total = steps if denoise > 0.9999 else int(steps / denoise)
    sigmas = tuple(dict.fromkeys(DISCRETIZATIONS[name](table, total + 1 if drops_penultimate else total)))
    if drops_penultimate:
        sigmas = (*sigmas[:-2], sigmas[-1])
    return sigmas if denoise > 0.9999 else sigmas[-(steps + 1) :]
