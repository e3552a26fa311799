"""What is particular to the Stable Diffusion 1 network: its latents and its noise levels."""

from __future__ import annotations

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.unet.latents import SD_LATENTS, thousand_steps

__all__ = ["LATENT_FORMAT", "parameterization"]

LATENT_FORMAT = SD_LATENTS


def parameterization(predicts_v: bool) -> Parameterization:
    """Eps over the thousand steps of training, v if the file is marked."""
    return Parameterization(VPrediction() if predicts_v else EpsPrediction(), thousand_steps())
