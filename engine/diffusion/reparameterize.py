"""Parameterizations that a user asks for by name, for networks whose files do not say how they were trained."""

from __future__ import annotations

from engine.diffusion.distilled_table import DistilledSigmaTable
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import (
    CleanPrediction,
    DirectPrediction,
    EdmPrediction,
    EpsPrediction,
    LcmPrediction,
    VPrediction,
)
from engine.diffusion.sigma_table import (
    DiscreteSigmaTable,
    EdmSigmaTable,
    VelocitySigmaTable,
    scaled_linear_betas,
    zero_terminal,
)

__all__ = ["continuous_parameterization", "discrete_parameterization", "velocity_parameterization"]

_STEPPED = {
    "eps": EpsPrediction, "v_prediction": VPrediction, "x0": CleanPrediction, "img_to_img": DirectPrediction,
}  # fmt: skip
_LEVELLED = {"eps": EpsPrediction(), "v_prediction": VPrediction(), "edm": EdmPrediction()}


def discrete_parameterization(sampling: str, *, is_zero_terminal: bool) -> Parameterization:
    """A prediction ("eps", "v_prediction", "x0", "img_to_img", "lcm") over Stable Diffusion's thousand steps.

    is_zero_terminal: the last step is nothing but noise. Raises KeyError for another name.
    """
    table = DiscreteSigmaTable.from_betas(scaled_linear_betas())
    if is_zero_terminal:
        table = zero_terminal(table)
    if sampling == "lcm":
        distilled = DistilledSigmaTable.of(table)
        return Parameterization(LcmPrediction(table=distilled), distilled)
    return Parameterization(_STEPPED[sampling](), table)


def continuous_parameterization(sampling: str, sigma_min: float, sigma_max: float) -> Parameterization:
    """A prediction ("eps", "v_prediction", "edm") over levels the network is told as log(sigma)/4.

    Raises KeyError for another name.
    """
    return Parameterization(_LEVELLED[sampling], EdmSigmaTable(sigma_min, sigma_max))


def velocity_parameterization(sigma_min: float, sigma_max: float) -> Parameterization:
    """v over levels the network is told as an angle."""
    return Parameterization(VPrediction(), VelocitySigmaTable(sigma_min, sigma_max))
