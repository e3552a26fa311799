"""Diffusion sampling as mathematics: what to ask a network, when, and what to do with the answers.

Nothing here runs a network. Guiders and samplers are generators that yield `RequestGroup`s; whoever drives them (the
batcher, a test) evaluates the requests with their `Denoiser` and sends the answers back. Terms follow Karras et al.
2022, arXiv:2206.00364. Nodes reach the names below through `engine.api.diffusion`.
"""

from engine.diffusion.conditioning import parse_conditioning, to_pairs
from engine.diffusion.controls import ControlUse
from engine.diffusion.discretization.align_your_steps import align_your_steps_levels
from engine.diffusion.discretization.beta import beta_levels
from engine.diffusion.discretization.exponential import exponential_levels
from engine.diffusion.discretization.karras import karras_levels
from engine.diffusion.discretization.laplace import laplace_levels
from engine.diffusion.discretization.polyexponential import polyexponential_levels
from engine.diffusion.discretization.registry import DISCRETIZATIONS, discretize
from engine.diffusion.discretization.turbo import turbo_levels
from engine.diffusion.discretization.variance_preserving import variance_preserving_levels
from engine.diffusion.guidance.differential import DifferentialMask
from engine.diffusion.guidance.epsilon_scaling import EpsilonScaling
from engine.diffusion.guidance.frequency import FrequencyScaling
from engine.diffusion.guidance.guidance import Guidance, Neutral
from engine.diffusion.guidance.latent_operation import OperationOnDifference
from engine.diffusion.guidance.leap import Leap
from engine.diffusion.guidance.norm import NormLimit
from engine.diffusion.guidance.perturbed import PerturbedGuidance
from engine.diffusion.guidance.projected import AdaptiveProjection
from engine.diffusion.guidance.renormalised import Renormalised
from engine.diffusion.guidance.rescale import Rescale
from engine.diffusion.guidance.reuse import OutputReuse
from engine.diffusion.guidance.self_attention import SelfAttentionGuidance
from engine.diffusion.guidance.tangential import TangentialDamping
from engine.diffusion.guidance.zero_star import ZeroStar
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.guiders.dual_cfg import DualCfg
from engine.diffusion.guiders.guider import Guider
from engine.diffusion.guiders.perp_neg import PerpNeg
from engine.diffusion.hooks import Keyframe, WeightHook, WeightHooks, encoded_in_stages, with_keyframes
from engine.diffusion.latent import LatentInput, parse_latent, with_samples
from engine.diffusion.noise import NoNoise, SeedNoise, initial_noise
from engine.diffusion.reparameterize import (
    continuous_parameterization,
    discrete_parameterization,
    velocity_parameterization,
)
from engine.diffusion.requests import Flow
from engine.diffusion.samplers.er_sde import reverse_time_noise_scale
from engine.diffusion.samplers.registry import LCM_UPSCALE, PLMS, SAMPLERS, Sampler, find_sampler
from engine.diffusion.sampling import OnStep, Step, cut_sigmas, sample

__all__ = [
    "DISCRETIZATIONS",
    "LCM_UPSCALE",
    "PLMS",
    "SAMPLERS",
    "AdaptiveProjection",
    "Basic",
    "Cfg",
    "ControlUse",
    "DifferentialMask",
    "DualCfg",
    "EpsilonScaling",
    "Flow",
    "FrequencyScaling",
    "Guidance",
    "Guider",
    "Keyframe",
    "LatentInput",
    "Leap",
    "Neutral",
    "NoNoise",
    "NormLimit",
    "OnStep",
    "OperationOnDifference",
    "OutputReuse",
    "PerpNeg",
    "PerturbedGuidance",
    "Renormalised",
    "Rescale",
    "Sampler",
    "SeedNoise",
    "SelfAttentionGuidance",
    "Step",
    "TangentialDamping",
    "WeightHook",
    "WeightHooks",
    "ZeroStar",
    "align_your_steps_levels",
    "beta_levels",
    "continuous_parameterization",
    "cut_sigmas",
    "discrete_parameterization",
    "discretize",
    "encoded_in_stages",
    "exponential_levels",
    "find_sampler",
    "initial_noise",
    "karras_levels",
    "laplace_levels",
    "parse_conditioning",
    "parse_latent",
    "polyexponential_levels",
    "reverse_time_noise_scale",
    "sample",
    "to_pairs",
    "turbo_levels",
    "variance_preserving_levels",
    "velocity_parameterization",
    "with_keyframes",
    "with_samples",
]
