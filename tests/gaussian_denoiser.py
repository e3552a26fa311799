"""The exact denoiser of Gaussian data: a network-free model whose trajectories are known in closed form.

For data of standard deviation s the ideal denoiser is x·s²/(s² + sigma²) and the ODE path x(sigma) is proportional to
sqrt(s² + sigma²). For the flow form, V = (1 - sigma)²s² + sigma², denoised = (1 - sigma)s²x/V, path proportional to
sqrt(V). Conditioning shifts the mean of the data by the context's first value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.guidance.guidance import PLAIN, Guidance
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, FlowPrediction
from engine.diffusion.requests import Flow, FullGuide, Guide, Guided, Latent
from engine.diffusion.samplers.registry import Sampler
from engine.diffusion.sigma_table import DiscreteSigmaTable, FlowSigmaTable, scaled_linear_betas

__all__ = ["EPS", "FLOW", "GaussianDenoiser", "entry", "exact_guide", "exact_path", "guide_for", "plain_guide"]

EPS = Parameterization(EpsPrediction(), DiscreteSigmaTable.from_betas(scaled_linear_betas()))
FLOW = Parameterization(FlowPrediction(), FlowSigmaTable())
PLAIN_FORMAT = LatentFormat("plain", num_channels=4, downscale=8, scale=1.0)


@dataclass(frozen=True, eq=False)
class GaussianDenoiser:
    """Fulfils Denoiser; `forwards` lists the number of items of every forward."""

    std: float = 1.0
    is_flow: bool = False
    guidance: Guidance = PLAIN
    identity: str = "gaussian"
    latent_format: LatentFormat = PLAIN_FORMAT
    forwards: list[int] = field(default_factory=list)
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable

    def with_guidance(self, guidance: Guidance) -> GaussianDenoiser:
        return replace(self, guidance=guidance)

    @property
    def parameterization(self) -> Parameterization:
        return FLOW if self.is_flow else EPS

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        return ConditionInputs(context=entry.context)

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        self.forwards.append(x.shape[0])
        sigma = sigma.view(-1, 1, 1, 1).to(x)
        alpha = 1.0 - sigma if self.is_flow else torch.ones_like(sigma)
        mean = 0.0 if inputs.context is None else inputs.context.mean(dim=(1, 2)).view(-1, 1, 1, 1).to(x)
        variance = self.std**2
        return mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x - alpha * mean)


def exact_guide(std: float, *, is_flow: bool = False) -> Guide:
    """A guide that answers itself; its flows yield nothing."""
    denoiser = GaussianDenoiser(std, is_flow)

    def guide(x: Latent, sigma: float) -> Flow[Latent]:
        yield from ()
        return denoiser.denoise(x, torch.tensor([sigma], dtype=x.dtype), ConditionInputs())

    return guide


def guide_for(sampler: Sampler, guide: Guide) -> Guide | FullGuide:
    """The guide in the form a sampler takes; where it wants the unguided prediction too, that is the same one."""

    def full(x: Latent, sigma: float) -> Flow[Guided]:
        denoised = yield from guide(x, sigma)
        return Guided(denoised, denoised)

    return full if sampler.needs_unguided else guide


def exact_path(x: Tensor, std: float, start: float, end: float, *, is_flow: bool = False) -> Tensor:
    """Where the ODE takes x from level start to level end."""

    def spread(sigma: float) -> float:
        alpha = 1.0 - sigma if is_flow else 1.0
        return math.sqrt(alpha**2 * std**2 + sigma**2)

    return x * (spread(end) / spread(start))


def plain_guide(denoiser: GaussianDenoiser, context: Tensor | None = None) -> Guide:
    """A guide that asks for one prediction per call."""
    from engine.diffusion.requests import DenoiseRequest, RequestGroup

    def guide(x: Latent, sigma: float) -> Flow[Latent]:
        (denoised,) = yield RequestGroup((DenoiseRequest(denoiser, x, sigma, ConditionInputs(context)),))
        return denoised

    return guide


def entry(mean: float = 0.0, **options: object) -> ConditioningEntry:
    """Conditioning whose data have this mean."""
    return ConditioningEntry(context=torch.full((1, 3, 2), mean), **options)
