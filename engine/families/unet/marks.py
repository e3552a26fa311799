"""Marks: keys by which a file says what its U-Net was trained to predict, since weights do not tell."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, LcmPrediction, VPrediction
from engine.diffusion.sigma_table import DiscreteSigmaTable, EdmSigmaTable, zero_terminal
from engine.families.denoiser import NetworkDenoiser
from engine.families.unet.form import UNetForm
from engine.families.unet.latents import thousand_steps
from engine.weights.checkpoint import Checkpoint

__all__ = ["V_MARK", "ZERO_TERMINAL_MARK", "prediction_marks", "with_marked_levels"]

V_MARK = "v_pred"
ZERO_TERMINAL_MARK = "ztsnr"


def with_marked_levels(parameterization: Parameterization, checkpoint: Checkpoint) -> Parameterization:
    """The levels of a zero terminal signal-to-noise ratio for a network that predicts v, if the file is so marked."""
    table = parameterization.sigma_table
    is_v = isinstance(parameterization.prediction, VPrediction)
    if ZERO_TERMINAL_MARK not in checkpoint.tensors or not is_v or not isinstance(table, DiscreteSigmaTable):
        return parameterization
    return replace(parameterization, sigma_table=zero_terminal(table))


def prediction_marks(model: NetworkDenoiser) -> dict[str, Tensor] | None:
    """The marks of a model's prediction and levels; None when there are none for them."""
    prediction, table = model.parameterization.prediction, model.parameterization.sigma_table
    empty, usual = torch.zeros(0), thousand_steps()
    is_told_guidance = isinstance(model.form, UNetForm) and model.form.config.guidance_width is not None
    if is_told_guidance or isinstance(prediction, LcmPrediction):
        # Guidance inside says by itself that a network is a latent consistency model, and nothing says otherwise.
        return {} if is_told_guidance and isinstance(prediction, LcmPrediction) else None
    if isinstance(table, EdmSigmaTable):
        return _continuous_marks(model, table)
    if prediction == EpsPrediction() and table.identity == usual.identity:
        return {}
    if prediction == VPrediction() and table.identity == usual.identity:
        return {V_MARK: empty}
    if prediction == VPrediction() and table.identity == zero_terminal(usual).identity:
        return {V_MARK: empty, ZERO_TERMINAL_MARK: empty}
    return None


def _continuous_marks(model: NetworkDenoiser, table: EdmSigmaTable) -> dict[str, Tensor] | None:
    prediction, latents = model.parameterization.prediction, model.latent_format
    if prediction == VPrediction():
        levels = {"sigma_max": table.sigma_max, "sigma_min": table.sigma_min}
        return {f"edm_vpred.{name}": torch.tensor(level) for name, level in levels.items()}
    if prediction == EdmPrediction() and latents.means:
        numbers = {"edm_mean": latents.means, "edm_std": latents.deviations}
        return {key: torch.tensor(values).view(1, -1, 1, 1) for key, values in numbers.items()}
    return None
