"""NOISE values: where the first noise of a run comes from."""

from __future__ import annotations

from typing import Any

import torch

from engine.api import Latent, Model, Noise, Seed, Sigmas, diffusion, node

__all__ = ["add_noise", "disable_noise", "random_noise"]


@node("RandomNoise", category="sampling/custom_sampling/noise")
def random_noise(noise_seed: Seed = 0) -> Noise:
    """The noise of a seed, the same on every device and in every batch."""
    return diffusion.SeedNoise(noise_seed)


@node("DisableNoise", category="sampling/custom_sampling/noise")
def disable_noise() -> Noise:
    """No noise: the latent has what it needs."""
    return diffusion.NoNoise()


@node("AddNoise", category="_for_testing/custom_sampling/noise")
def add_noise(model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """The latent with noise of the first level, less that of the last one if there are several."""
    if len(sigmas) == 0:
        return latent_image
    amount = float(sigmas[0] - sigmas[-1]) if len(sigmas) > 1 else float(sigmas[0])
    latent_format = model.latent_format
    clean = latent_format.with_channels(latent_image["samples"]).float()
    drawn = noise.generate_noise({**latent_image, "samples": clean}).float()
    start: Any = latent_format.to_network(clean) if torch.count_nonzero(clean) else clean
    noisy = model.parameterization.prediction.add_noise(start, drawn, amount)
    return {**latent_image, "samples": torch.nan_to_num(latent_format.from_network(noisy), posinf=0.0, neginf=0.0)}
