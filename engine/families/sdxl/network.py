"""What is particular to Stable Diffusion XL: the predictions, noise levels and latents its files are marked with."""

from __future__ import annotations

from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, VPrediction
from engine.diffusion.sigma_table import EdmSigmaTable, zero_terminal
from engine.families.unet.latents import XL_LATENTS, thousand_steps
from engine.weights.checkpoint import Checkpoint

__all__ = ["MARKS", "latent_format", "parameterization"]

MARKS = (r"v_pred", r"ztsnr", r"edm_mean", r"edm_std", r"edm_vpred\.sigma_(?:max|min)")
"""Keys that say how a network was trained; most hold no number."""

_PLAYGROUND_SCALE = 0.5
_PLAYGROUND_MEANS = (-1.6574, 1.886, -1.383, 2.5155)
_PLAYGROUND_DEVIATIONS = (8.4927, 5.9022, 6.5498, 5.2299)
"""Of Playground v2.5's latents; source: the model's published autoencoder configuration."""

_PLAYGROUND_LEVELS = (0.002, 80.0)
_EDM_V_LEVELS = (0.002, 120.0)


def parameterization(checkpoint: Checkpoint) -> Parameterization:
    """What the file's marks say; without any, eps over the 1000 steps of Stable Diffusion 1.

    Playground's EDM networks and those that predict v over continuous levels are told log(sigma)/4. Source: Karras et
    al. 2022, table 1. The mark of a zero terminal signal-to-noise ratio changes the levels: Lin et al. 2023,
    arXiv:2305.08891, algorithm 1.
    """
    marks = checkpoint.tensors
    if "edm_mean" in marks and "edm_std" in marks:
        return Parameterization(EdmPrediction(), EdmSigmaTable(*_PLAYGROUND_LEVELS))
    if "edm_vpred.sigma_max" in marks:
        low, high = _EDM_V_LEVELS
        levels = EdmSigmaTable(
            _number(checkpoint, "edm_vpred.sigma_min", low), _number(checkpoint, "edm_vpred.sigma_max", high)
        )
        return Parameterization(VPrediction(), levels)
    table = thousand_steps()
    if "v_pred" not in marks:
        return Parameterization(EpsPrediction(), table)
    return Parameterization(VPrediction(), zero_terminal(table) if "ztsnr" in marks else table)


def latent_format(checkpoint: Checkpoint) -> LatentFormat:
    """Of the file: Playground's latents are brought to mean 0 and deviation 0.5 in each channel."""
    if "edm_mean" not in checkpoint.tensors or "edm_std" not in checkpoint.tensors:
        return XL_LATENTS
    means = _numbers(checkpoint, "edm_mean", _PLAYGROUND_MEANS)
    deviations = _numbers(checkpoint, "edm_std", _PLAYGROUND_DEVIATIONS)
    return XL_LATENTS.standardised("playground", _PLAYGROUND_SCALE, means, deviations)


def _number(checkpoint: Checkpoint, key: str, otherwise: float) -> float:
    return _numbers(checkpoint, key, (otherwise,))[0]


def _numbers(checkpoint: Checkpoint, key: str, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """The numbers of a mark, or those it stands for when it does not hold as many."""
    if key not in checkpoint.tensors:
        return otherwise
    found = tuple(float(number) for number in checkpoint.tensor(key).flatten())
    return found if len(found) == len(otherwise) else otherwise
