"""The samplers by the names that workflow files use, and what each needs besides x, sigmas and guide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from engine.core.errors import NodeError
from engine.diffusion.noise import BrownianNoise, GaussianNoise
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.requests import Flow, FullGuide, Guide, Latent, Sigmas
from engine.diffusion.samplers.ddpm import ddpm
from engine.diffusion.samplers.deis import deis
from engine.diffusion.samplers.dpm_2 import dpm_2
from engine.diffusion.samplers.dpm_2_ancestral import dpm_2_ancestral
from engine.diffusion.samplers.dpm_adaptive import dpm_adaptive
from engine.diffusion.samplers.dpm_fast import dpm_fast
from engine.diffusion.samplers.dpmpp_2m import dpmpp_2m
from engine.diffusion.samplers.dpmpp_2m_sde import dpmpp_2m_sde
from engine.diffusion.samplers.dpmpp_2s_ancestral import dpmpp_2s_ancestral
from engine.diffusion.samplers.dpmpp_3m_sde import dpmpp_3m_sde
from engine.diffusion.samplers.dpmpp_sde import dpmpp_sde
from engine.diffusion.samplers.er_sde import er_sde
from engine.diffusion.samplers.euler import euler
from engine.diffusion.samplers.euler_ancestral import euler_ancestral
from engine.diffusion.samplers.evaluation import renoised
from engine.diffusion.samplers.gradient_estimation import gradient_estimation
from engine.diffusion.samplers.heun import heun
from engine.diffusion.samplers.heunpp2 import heunpp2
from engine.diffusion.samplers.ipndm import ipndm
from engine.diffusion.samplers.ipndm_v import ipndm_v
from engine.diffusion.samplers.lcm import lcm
from engine.diffusion.samplers.lcm_upscale import lcm_upscale
from engine.diffusion.samplers.lms import lms
from engine.diffusion.samplers.plms import plms
from engine.diffusion.samplers.res_multistep import res_multistep
from engine.diffusion.samplers.sa_solver import sa_solver
from engine.diffusion.samplers.seeds_2 import seeds_2
from engine.diffusion.samplers.seeds_3 import seeds_3
from engine.diffusion.samplers.uni_pc import uni_pc

__all__ = ["LCM_UPSCALE", "PLMS", "SAMPLERS", "Sampler", "find_sampler"]


@dataclass(frozen=True, slots=True)
class Sampler:
    """A method with its settings; the value of a SAMPLER socket.

    method: method(x, sigmas, guide[, noise][, path=…], **options).
    noise: what kind of randomness it is given, if any.
    takes_path: whether it asks how clean latent and noise mix.
    needs_finite_snr: it steps in log(alpha/sigma), which a flow's first level, pure noise, does not have.
    drops_penultimate: its last evaluation lies between levels, so the smallest level above 0 is left out of a schedule.
    draws_mask_noise: kept parts of a masked picture get noise of their own instead of the initial noise.
    needs_unguided: it is run with a guide that returns the unguided prediction as well (CFG++).
    options: further keyword arguments of the method.
    levels_at: keyword arguments that are noise levels, as fractions of the trajectory (0 noise, 1 clean).
    """

    method: Callable[..., Flow[Latent]]
    noise: Literal["none", "gaussian", "brownian"] = "none"
    takes_path: bool = False
    needs_finite_snr: bool = False
    drops_penultimate: bool = False
    draws_mask_noise: bool = False
    needs_unguided: bool = False
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    levels_at: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def start(
        self, x: Latent, sigmas: Sigmas, guide: Guide | FullGuide, parameterization: Parameterization, seed: int
    ) -> Flow[Latent]:
        """The running flow of this sampler for a network of this parameterization; its randomness is that of `seed`."""
        if self.needs_finite_snr:
            sigmas = _off_pure_noise(sigmas, parameterization)
        arguments: list[Any] = [x, sigmas, guide]
        if self.noise == "gaussian":
            arguments.append(GaussianNoise(x, seed))
        elif self.noise == "brownian":
            arguments.append(BrownianNoise(x, seed, min(s for s in sigmas if s > 0), max(sigmas)))
        options = dict(self.options)
        if self.takes_path:
            options["path"] = parameterization.prediction.path
        for name, fraction in self.levels_at.items():
            options[name] = parameterization.sigma_table.sigma_at_fraction(fraction)
        return self.method(*arguments, **options)

    def with_unguided_noise(self) -> Sampler:
        """The CFG++ form of a method that takes `evaluate`."""
        return replace(self.with_options(evaluate=renoised), needs_unguided=True)

    def with_options(self, **options: Any) -> Sampler:
        """The same method with these settings changed."""
        return replace(self, options=MappingProxyType({**self.options, **options}))


def _off_pure_noise(sigmas: Sigmas, parameterization: Parameterization) -> Sigmas:
    """The levels with a first one that is pure noise moved a ten-thousandth into the trajectory."""
    if math.isinf(parameterization.prediction.path.half_log_snr(sigmas[0])):
        return (parameterization.sigma_table.sigma_at_fraction(1e-4), *sigmas[1:])
    return sigmas


def _ancestral(method: Callable[..., Flow[Latent]], **more: Any) -> Sampler:
    """A method with independent noise per step."""
    return Sampler(method, noise="gaussian", takes_path=True, **more)


def _exponential(method: Callable[..., Flow[Latent]], noise: Literal["gaussian", "brownian"], **more: Any) -> Sampler:
    """A stochastic method that steps in log(alpha/sigma)."""
    return Sampler(method, noise=noise, takes_path=True, needs_finite_snr=True, **more)


_HEUN = MappingProxyType({"correction": "heun"})

# Names ending in _gpu ask for noise from the device. Ours is the seed's on every device, so they are the same method.
_SA_SOLVER = _exponential(sa_solver, "gaussian", levels_at=MappingProxyType({"noisy_from": 0.2, "noisy_to": 0.8}))

SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        "euler": Sampler(euler),
        "euler_cfg_pp": Sampler(euler).with_unguided_noise(),
        "euler_ancestral": _ancestral(euler_ancestral),
        "euler_ancestral_cfg_pp": _ancestral(euler_ancestral).with_unguided_noise(),
        "heun": Sampler(heun),
        "heunpp2": Sampler(heunpp2),
        "dpm_2": Sampler(dpm_2, drops_penultimate=True),
        "dpm_2_ancestral": _ancestral(dpm_2_ancestral, drops_penultimate=True),
        "lms": Sampler(lms),
        "dpm_fast": Sampler(dpm_fast),
        "dpm_adaptive": Sampler(dpm_adaptive),
        "dpmpp_2s_ancestral": _ancestral(dpmpp_2s_ancestral),
        "dpmpp_2s_ancestral_cfg_pp": _ancestral(dpmpp_2s_ancestral).with_unguided_noise(),
        "dpmpp_sde": _exponential(dpmpp_sde, "brownian"),
        "dpmpp_sde_gpu": _exponential(dpmpp_sde, "brownian"),
        "dpmpp_2m": Sampler(dpmpp_2m),
        "dpmpp_2m_cfg_pp": Sampler(dpmpp_2m).with_unguided_noise(),
        "dpmpp_2m_sde": _exponential(dpmpp_2m_sde, "brownian"),
        "dpmpp_2m_sde_gpu": _exponential(dpmpp_2m_sde, "brownian"),
        "dpmpp_2m_sde_heun": _exponential(dpmpp_2m_sde, "brownian", options=_HEUN),
        "dpmpp_2m_sde_heun_gpu": _exponential(dpmpp_2m_sde, "brownian", options=_HEUN),
        "dpmpp_3m_sde": _exponential(dpmpp_3m_sde, "brownian"),
        "dpmpp_3m_sde_gpu": _exponential(dpmpp_3m_sde, "brownian"),
        "ddpm": Sampler(ddpm, noise="gaussian"),
        "lcm": _ancestral(lcm),
        "ipndm": Sampler(ipndm),
        "ipndm_v": Sampler(ipndm_v),
        "deis": Sampler(deis),
        "res_multistep": _ancestral(res_multistep),
        "res_multistep_cfg_pp": _ancestral(res_multistep).with_unguided_noise(),
        "res_multistep_ancestral": _ancestral(res_multistep).with_options(eta=1.0),
        "res_multistep_ancestral_cfg_pp": _ancestral(res_multistep).with_options(eta=1.0).with_unguided_noise(),
        "gradient_estimation": Sampler(gradient_estimation),
        "gradient_estimation_cfg_pp": Sampler(gradient_estimation).with_unguided_noise(),
        "er_sde": _exponential(er_sde, "gaussian"),
        "seeds_2": _exponential(seeds_2, "gaussian"),
        "seeds_3": _exponential(seeds_3, "gaussian"),
        "sa_solver": _SA_SOLVER,
        "sa_solver_pece": _SA_SOLVER.with_options(evaluates_corrected=True),
        "ddim": Sampler(euler, draws_mask_noise=True),
        "uni_pc": Sampler(uni_pc, drops_penultimate=True),
        "uni_pc_bh2": Sampler(uni_pc, drops_penultimate=True, options=MappingProxyType({"variant": "bh2"})),
    }
)

PLMS = Sampler(plms, draws_mask_noise=True)
LCM_UPSCALE = _ancestral(lcm_upscale)
"""Not among the names of workflow files; nodes of their own give them."""


def find_sampler(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        NodeError: there is none.
    """
    if name not in SAMPLERS:
        raise NodeError(f"There is no sampler named {name!r}.", code="unknown_sampler")
    return SAMPLERS[name]
