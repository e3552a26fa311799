"""What the trained network predicts and which noise levels it learns: recipes for the engine's own classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, FlowPrediction, Prediction, VPrediction
from engine.diffusion.sigma_table import (
    DiscreteSigmaTable,
    EdmSigmaTable,
    FlowSigmaTable,
    SigmaTable,
    scaled_linear_betas,
)

__all__ = ["DiscreteTable", "EdmTable", "FlowTable", "ParameterizationRecipe"]


@dataclass(frozen=True, slots=True)
class DiscreteTable:
    """Numbered steps from betas; the defaults are Stable Diffusion's."""

    kind: Literal["discrete"] = "discrete"
    num_steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    spacing: Literal["scaled_linear", "linear"] = "scaled_linear"

    def __post_init__(self) -> None:
        if self.num_steps < 2 or not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError("a discrete table takes at least 2 steps and 0 < beta_start <= beta_end < 1")

    def build(self) -> SigmaTable:
        """The table."""
        if self.spacing == "linear":
            betas = torch.linspace(self.beta_start, self.beta_end, self.num_steps, dtype=torch.float64)
        else:
            betas = scaled_linear_betas(self.num_steps, self.beta_start, self.beta_end)
        return DiscreteSigmaTable.from_betas(betas)


@dataclass(frozen=True, slots=True)
class EdmTable:
    """Continuous levels; the network is told log(sigma)/4."""

    kind: Literal["edm"]
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def build(self) -> SigmaTable:
        """The table."""
        return EdmSigmaTable(self.sigma_min, self.sigma_max)


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Levels in (0, 1] of a rectified flow."""

    kind: Literal["flow"]
    shift: float = 1.0
    multiplier: float = 1000.0

    def build(self) -> SigmaTable:
        """The table."""
        return FlowSigmaTable(self.shift, self.multiplier)


@dataclass(frozen=True, slots=True)
class ParameterizationRecipe:
    """prediction: what the network's output means. sigma_data: spread of the data; when not given 1, for edm 0.5."""

    prediction: Literal["eps", "v", "edm", "flow"] = "eps"
    table: DiscreteTable | EdmTable | FlowTable = DiscreteTable()
    sigma_data: float | None = None

    def __post_init__(self) -> None:
        if (self.prediction == "flow") != isinstance(self.table, FlowTable):
            raise ValueError("a flow prediction and a flow table belong together")
        if self.prediction == "flow" and self.sigma_data is not None:
            raise ValueError("a flow prediction has no sigma_data")

    def build(self) -> Parameterization:
        """The parameterization that training and inference share."""
        return Parameterization(self._prediction(), self.table.build())

    def _prediction(self) -> Prediction:
        if self.prediction == "flow":
            return FlowPrediction()
        kinds = {"eps": (EpsPrediction, 1.0), "v": (VPrediction, 1.0), "edm": (EdmPrediction, 0.5)}
        make, usual = kinds[self.prediction]
        return make(usual if self.sigma_data is None else self.sigma_data)
