"""Diffusion sampling as mathematics: what to ask a network, when, and what to do with the answers.

Nothing here runs a network. Guiders and samplers are generators that yield `RequestGroup`s; whoever drives them (the
batcher, a test) evaluates the requests with their `Denoiser` and sends the answers back. Terms follow Karras et al.
2022, arXiv:2206.00364. Nodes reach the names below through `engine.api.diffusion`.
"""

from engine.diffusion.conditioning import parse_conditioning, to_pairs
from engine.diffusion.discretization.registry import DISCRETIZATIONS, discretize
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.guiders.guider import Guider
from engine.diffusion.latent import LatentInput, parse_latent, with_samples
from engine.diffusion.noise import initial_noise
from engine.diffusion.requests import Flow
from engine.diffusion.samplers.registry import SAMPLERS, Sampler, find_sampler
from engine.diffusion.sampling import OnStep, Step, cut_sigmas, sample

__all__ = [
    "DISCRETIZATIONS",
    "SAMPLERS",
    "Basic",
    "Cfg",
    "Flow",
    "Guider",
    "LatentInput",
    "OnStep",
    "Sampler",
    "Step",
    "cut_sigmas",
    "discretize",
    "find_sampler",
    "initial_noise",
    "parse_conditioning",
    "parse_latent",
    "sample",
    "to_pairs",
    "with_samples",
]
