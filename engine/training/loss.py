"""The diffusion loss: how far `denoised` is from the clean latent, weighted by noise level."""

from __future__ import annotations

from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.noise_path import FLOW_PATH
from engine.diffusion.parameterization import Network, Parameterization
from engine.training.randomness import StepChance
from engine.training.sigma_sampling import SigmaSampling
from engine.training.weighting import Weighting

__all__ = ["diffusion_loss"]


def diffusion_loss(
    network: Network,
    parameterization: Parameterization,
    latent: Tensor,
    inputs: ConditionInputs,
    chance: StepChance,
    sampling: SigmaSampling,
    weighting: Weighting,
    offset_noise: float = 0.0,
) -> Tensor:
    """Mean over examples and values of weight(sigma) · (denoised - latent)², a scalar.

    Args:
        network: called through `Parameterization.denoise`, as in inference.
        latent: clean, float32 [b c h w] in network scale.
        inputs: what the network is conditioned on, b rows.
        offset_noise: deviation of a further noise that is one value for a whole channel, so that the mean of a
            picture is learned too. Source: Guttenberg 2023, "Diffusion with offset noise".

    Source: Karras et al. 2022, arXiv:2206.00364, equation 8.
    """
    sigma = sampling.draw(chance, parameterization.sigma_table)
    noise = chance.normal("noise", latent.shape[1:])
    if offset_noise:
        noise = noise + offset_noise * chance.normal("offset_noise", (latent.shape[1], 1, 1))
    level = sigma.view(-1, *(1,) * (latent.ndim - 1))
    is_flow = parameterization.prediction.path is FLOW_PATH
    noisy = latent * (1.0 - level) + noise * level if is_flow else latent + noise * level
    denoised = parameterization.denoise(network, noisy, sigma, inputs, latent.dtype)
    errors = (denoised - latent).square().flatten(1).mean(dim=1)
    return (errors * weighting.weight(sigma, parameterization.prediction)).mean()
