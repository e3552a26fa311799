"""A whole sampling run as one flow: from a LATENT value and noise to the finished latent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.errors import NodeError
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guiders.guider import Guider
from engine.diffusion.latent import LatentInput
from engine.diffusion.noise import initial_noise
from engine.diffusion.prediction import Prediction
from engine.diffusion.requests import Flow, FullGuide, Guided, Latent, Sigmas, denoised_only
from engine.diffusion.samplers.registry import Sampler

__all__ = ["OnStep", "Step", "cut_sigmas", "sample"]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step has been evaluated. Numbered from 1; `denoised` is in network scale on the denoiser's device."""

    number: int
    total: int
    denoised: Latent


OnStep = Callable[[Step], None]


def cut_sigmas(sigmas: Sigmas, start_step: int, end_step: int, *, keeps_noise: bool) -> Sigmas:
    """The levels of steps start_step..end_step of a schedule.

    Args:
        sigmas: the whole schedule.
        start_step: first step to run; past the end gives no levels.
        end_step: step to stop before; past the end is the end.
        keeps_noise: stop at the level reached instead of removing all noise in the last step.
    """
    levels = list(sigmas[: end_step + 1])
    if len(levels) < len(sigmas) and not keeps_noise:
        levels[-1] = 0.0
    return tuple(levels[start_step:]) if start_step < len(levels) - 1 else ()


def sample(
    guider: Guider,
    sampler: Sampler,
    sigmas: Sigmas,
    latent: LatentInput,
    *,
    seed: int,
    adds_noise: bool = True,
    noise: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Flow[Tensor]:
    """Run a sampler from start to end.

    Args:
        guider: what is to be predicted.
        sampler: how to integrate.
        sigmas: falling levels; fewer than two leave the latent as it is.
        latent: what to start from. Items of the batch share the seed's noise as `initial_noise` says.
        seed: of the initial noise and of the sampler's own.
        adds_noise: False to start from a latent that already has noise of level sigmas[0].
        noise: initial noise [b c h w] instead of the seed's.
        on_step: told after each step's first evaluation; an exception from it ends the run.

    Returns:
        Samples [b c h w], float32 on the CPU, in the scale of the autoencoder.
    """
    denoiser = guider.denoiser
    latent_format, device = denoiser.latent_format, denoiser.device
    samples = latent_format.with_channels(latent.samples).float()
    if len(sigmas) < 2:
        return samples
    # An empty latent is empty in either scale: a shift must not turn it into a picture.
    clean = (latent_format.to_network(samples) if torch.count_nonzero(samples) else samples).to(device)
    if noise is None:
        noise = initial_noise(samples.shape, seed, latent.batch_index) if adds_noise else torch.zeros(samples.shape)
    noise = noise.to(device, torch.float32)
    mask = None if latent.noise_mask is None else latent.noise_mask.to(device)
    prediction = denoiser.parameterization.prediction
    guide = guider.bind(clean, mask, wants_unguided=sampler.needs_unguided, seed=seed)
    if mask is not None:
        kept_noise = initial_noise(samples.shape, (seed + 1) % 2**64).to(device) if sampler.draws_mask_noise else noise
        guide = _masked(guide, _mask_over(denoiser, mask, sigmas), clean, kept_noise, prediction)
    progress = _Progress(sigmas, on_step)
    guide = progress.watch(guide)
    asked = guide if sampler.needs_unguided else denoised_only(guide)
    sigma_max = denoiser.parameterization.sigma_table.sigma_max
    is_maximal = sigmas[0] > sigma_max * (1 - 1e-5)
    x = prediction.add_noise(clean, noise, sigmas[0], is_maximal)
    x = yield from sampler.start(x, sigmas, asked, denoiser.parameterization, seed)
    progress.finish(x)
    if mask is not None and sigmas[-1] == 0:
        # Some methods stop just above 0; what may not change must be exact all the same.
        x = torch.where(mask == 0, clean, x)
    return latent_format.from_network(prediction.finish(x, sigmas[-1])).float().cpu()


def _mask_over(denoiser: Denoiser, mask: Tensor, sigmas: Sigmas) -> Callable[[float], Tensor]:
    """The mask at each level, by the denoiser's rule if it has one."""
    rule, table = denoiser.guidance.mask_rule, denoiser.parameterization.sigma_table
    if rule is None:
        return lambda sigma: mask
    first, last = table.timestep(sigmas[0]), table.timestep(max(sigmas[-1], table.sigma_min))
    span = (first - last) or 1.0
    return lambda sigma: rule.mask_at(mask, (table.timestep(sigma) - last) / span)


def _masked(
    guide: FullGuide, mask_at: Callable[[float], Tensor], clean: Latent, noise: Tensor, prediction: Prediction
) -> FullGuide:
    """A guide that keeps the picture where the mask is 0: x there is the noised original, `denoised` the original."""

    def masked(x: Latent, sigma: float) -> Flow[Guided]:
        if x.shape[-2:] != clean.shape[-2:]:
            raise NodeError(
                "This sampler changes the size of the latent, which has a noise mask.",
                code="latent_mismatch",
                hint="Use another sampler, or sample without the mask.",
                input="latent_image",
            )
        mask = mask_at(sigma)
        x = x * mask + prediction.add_noise(clean, noise, sigma) * (1.0 - mask)
        answer = yield from guide(x, sigma)
        return Guided(answer.denoised * mask + clean * (1.0 - mask), answer.unguided)

    return masked


class _Progress:
    """Tells which step a run is in. The level says so; calls per step differ between samplers."""

    def __init__(self, sigmas: Sigmas, on_step: OnStep | None) -> None:
        self._total = len(sigmas) - 1
        self._sign = -1.0 if sigmas[0] > sigmas[-1] else 1.0
        self._levels = [self._sign * sigma for sigma in sigmas[:-1]]
        self._on_step = on_step
        self._reported = 0

    def watch(self, guide: FullGuide) -> FullGuide:
        """A guide that reports every step whose level it is asked for."""

        def watched(x: Latent, sigma: float) -> Flow[Guided]:
            answer = yield from guide(x, sigma)
            self._reached(bisect_right(self._levels, self._sign * sigma), answer.denoised)
            return answer

        return watched

    def finish(self, x: Latent) -> None:
        """The run is over, whichever levels its method asked for."""
        self._reached(self._total, x)

    def _reached(self, number: int, denoised: Latent) -> None:
        if number > self._reported and self._on_step is not None:
            self._reported = number
            self._on_step(Step(number, self._total, denoised))
