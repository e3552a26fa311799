"""The recipe of a diffusion model: which parts it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.training.conditioner import ConditionerRecipe
from engine.training.first_stage import AutoencoderStageRecipe, IdentityStageRecipe
from engine.training.networks.unet import UNetRecipe
from engine.training.parameterization import ParameterizationRecipe
from engine.training.place_reading import PlaceReadingRecipe
from engine.training.sigma_sampling import (
    DiscreteSampling,
    LogitNormalSampling,
    LogNormalSampling,
    RangeSampling,
    UniformSampling,
)
from engine.training.weighting import (
    EdmWeighting,
    EpsWeighting,
    MinSnrWeighting,
    UnitWeighting,
    VWeighting,
)

__all__ = ["DiffusionRecipe", "SigmaSamplingRecipe", "WeightingRecipe"]

SigmaSamplingRecipe = DiscreteSampling | LogNormalSampling | RangeSampling | LogitNormalSampling | UniformSampling
WeightingRecipe = UnitWeighting | EpsWeighting | VWeighting | EdmWeighting | MinSnrWeighting


@dataclass(frozen=True, slots=True)
class DiffusionRecipe:
    """input_key: the picture to encode; a batch that holds `latent` (network scale) is not encoded.

    offset_noise: see `engine.training.loss.diffusion_loss`. places: a second task; None for none.
    """

    kind: Literal["diffusion"]
    network: UNetRecipe
    sigma_sampling: SigmaSamplingRecipe
    weighting: WeightingRecipe
    parameterization: ParameterizationRecipe = field(default_factory=ParameterizationRecipe)
    conditioner: ConditionerRecipe = field(default_factory=ConditionerRecipe)
    first_stage: IdentityStageRecipe | AutoencoderStageRecipe = field(default_factory=IdentityStageRecipe)
    input_key: str = "image"
    offset_noise: float = 0.0
    places: PlaceReadingRecipe | None = None
