"""SAMPLER values: a method of integration with its settings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal

import torch

from engine.api import Bool, Choice, Model, Options, Range, Sampler, diffusion, imaging, node

__all__ = [
    "sampler_by_name",
    "sampler_ddim",
    "sampler_dpm_adaptive",
    "sampler_dpmpp_2m_sde",
    "sampler_dpmpp_2s_ancestral",
    "sampler_dpmpp_3m_sde",
    "sampler_dpmpp_sde",
    "sampler_er_sde",
    "sampler_euler_ancestral",
    "sampler_euler_ancestral_cfg_pp",
    "sampler_euler_cfg_pp",
    "sampler_lcm_upscale",
    "sampler_lms",
    "sampler_plms",
    "sampler_sa_solver",
]

CATEGORY = "sampling/custom_sampling/samplers"
SamplerName = Annotated[str, Choice(tuple(diffusion.SAMPLERS))]
Amount = Annotated[float, Range(0.0, 100.0, step=0.01), Options(round=False)]
NoiseDevice = Literal["gpu", "cpu"]
Fraction = Annotated[float, Range(0.0, 1.0, step=0.001)]


@node("KSamplerSelect", category=CATEGORY)
def sampler_by_name(sampler_name: SamplerName) -> Sampler:
    """A sampler with its usual settings."""
    return diffusion.find_sampler(sampler_name)


@node("SamplerEulerAncestral", category=CATEGORY)
def sampler_euler_ancestral(eta: Amount = 1.0, s_noise: Amount = 1.0) -> Sampler:
    """Euler steps with fresh noise; with s_noise 1 also DDIM with this eta."""
    return diffusion.find_sampler("euler_ancestral").with_options(eta=eta, s_noise=s_noise)


@node("SamplerEulerAncestralCFGPP", title="SamplerEulerAncestralCFG++", category=CATEGORY)
def sampler_euler_ancestral_cfg_pp(
    eta: Annotated[float, Range(0.0, 1.0, step=0.01), Options(round=False)] = 1.0,
    s_noise: Annotated[float, Range(0.0, 10.0, step=0.01), Options(round=False)] = 1.0,
) -> Sampler:
    """Euler steps with fresh noise in their CFG++ form."""
    return diffusion.find_sampler("euler_ancestral_cfg_pp").with_options(eta=eta, s_noise=s_noise)


@node("SamplerEulerCFGpp", title="SamplerEulerCFG++", category="_for_testing", experimental=True, schema_form=True)
def sampler_euler_cfg_pp(version: Literal["regular", "alternative"]) -> Sampler:
    """Euler steps in their CFG++ form. The versions are two ways to write down one step, so both give the same."""
    return diffusion.find_sampler("euler_cfg_pp")


@node("SamplerLCMUpscale", category=CATEGORY, schema_form=True)
def sampler_lcm_upscale(
    *,
    scale_ratio: Annotated[float, Range(0.1, 20.0, step=0.01)] = 1.0,
    scale_steps: Annotated[int, Range(-1, 1000, step=1)] = -1,
    upscale_method: Literal["bislerp", "nearest-exact", "bilinear", "area", "bicubic"],
) -> Sampler:
    """LCM steps on a latent that grows evenly to `scale_ratio` times its size, over the first `scale_steps` steps.

    -1 is for all steps but the last. For prompts without areas and latents without a mask, which have one size.
    """

    def resize(latent: torch.Tensor, width: int, height: int) -> torch.Tensor:
        return imaging.resize(latent, width, height, upscale_method)

    return diffusion.LCM_UPSCALE.with_options(ratio=scale_ratio, num_steps=scale_steps, resize=resize)


@node("SamplerLMS", category=CATEGORY)
def sampler_lms(order: Annotated[int, Range(1, 100)] = 4) -> Sampler:
    """Linear multistep over the last `order` slopes."""
    return diffusion.find_sampler("lms").with_options(max_order=order)


@node("SamplerDPMPP_3M_SDE", category=CATEGORY)
def sampler_dpmpp_3m_sde(*, eta: Amount = 1.0, s_noise: Amount = 1.0, noise_device: NoiseDevice) -> Sampler:
    """DPM-Solver++(3M) SDE. Noise is the seed's wherever it is drawn, so the device makes no difference."""
    return diffusion.find_sampler("dpmpp_3m_sde").with_options(eta=eta, s_noise=s_noise)


@node("SamplerDPMPP_2M_SDE", category=CATEGORY)
def sampler_dpmpp_2m_sde(
    *,
    solver_type: Literal["midpoint", "heun"],
    eta: Amount = 1.0,
    s_noise: Amount = 1.0,
    noise_device: NoiseDevice,
) -> Sampler:
    """DPM-Solver++(2M) SDE. Noise is the seed's wherever it is drawn, so the device makes no difference."""
    return diffusion.find_sampler("dpmpp_2m_sde").with_options(eta=eta, s_noise=s_noise, correction=solver_type)


@node("SamplerDPMPP_SDE", category=CATEGORY)
def sampler_dpmpp_sde(
    *, eta: Amount = 1.0, s_noise: Amount = 1.0, r: Amount = 0.5, noise_device: NoiseDevice
) -> Sampler:
    """DPM-Solver++ SDE. Noise is the seed's wherever it is drawn, so the device makes no difference."""
    return diffusion.find_sampler("dpmpp_sde").with_options(eta=eta, s_noise=s_noise, r=r)


@node("SamplerDPMPP_2S_Ancestral", category=CATEGORY)
def sampler_dpmpp_2s_ancestral(eta: Amount = 1.0, s_noise: Amount = 1.0) -> Sampler:
    """DPM-Solver++(2S) with fresh noise."""
    return diffusion.find_sampler("dpmpp_2s_ancestral").with_options(eta=eta, s_noise=s_noise)


@node("SamplerDPMAdaptative", category=CATEGORY)
def sampler_dpm_adaptive(
    order: Annotated[int, Range(2, 3)] = 3,
    rtol: Amount = 0.05,
    atol: Amount = 0.0078,
    h_init: Amount = 0.05,
    pcoeff: Amount = 0.0,
    icoeff: Amount = 1.0,
    dcoeff: Amount = 0.0,
    accept_safety: Amount = 0.81,
    eta: Amount = 0.0,
    s_noise: Amount = 1.0,
) -> Sampler:
    """DPM-Solver with steps as long as the tolerances allow; the number of levels given does not matter."""
    sampler = diffusion.find_sampler("dpm_adaptive").with_options(
        order=order,
        rtol=rtol,
        atol=atol,
        first_step=h_init,
        pid=(pcoeff, icoeff, dcoeff),
        accept_from=accept_safety,
        eta=eta,
        s_noise=s_noise,
    )
    return replace(sampler, noise="gaussian") if eta > 0 else sampler


@node("SamplerER_SDE", category=CATEGORY)
def sampler_er_sde(
    *,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"],
    max_stage: Annotated[int, Range(1, 3)] = 3,
    eta: Amount = 1.0,
    s_noise: Amount = 1.0,
) -> Sampler:
    """Solver of extended reverse-time SDEs; eta is the noise of the reverse-time kind, ER-SDE has its own."""
    sampler = diffusion.find_sampler("er_sde")
    if solver_type == "ER-SDE":
        return sampler.with_options(max_stage=max_stage, s_noise=s_noise)
    eta = 0.0 if solver_type == "ODE" else eta
    return sampler.with_options(
        max_stage=max_stage,
        s_noise=s_noise if eta > 0 else 0.0,
        noise_scale=partial(diffusion.reverse_time_noise_scale, eta=eta),
    )


@node("SamplerSASolver", category=CATEGORY)
def sampler_sa_solver(
    *,
    model: Model,
    eta: Annotated[float, Range(0.0, 10.0, step=0.01), Options(round=False)] = 1.0,
    sde_start_percent: Fraction = 0.2,
    sde_end_percent: Fraction = 0.8,
    s_noise: Amount = 1.0,
    predictor_order: Annotated[int, Range(1, 6)] = 3,
    corrector_order: Annotated[int, Range(0, 6)] = 4,
    use_pece: Bool,
    simple_order_2: Bool,
) -> Sampler:
    """SA-Solver: stochastic Adams steps, with noise in a part of the trajectory."""
    table = model.parameterization.sigma_table
    sampler = diffusion.find_sampler("sa_solver").with_options(
        eta=eta,
        noisy_from=table.sigma_at_fraction(sde_start_percent),
        noisy_to=table.sigma_at_fraction(sde_end_percent),
        s_noise=s_noise,
        predictor_order=predictor_order,
        corrector_order=corrector_order,
        evaluates_corrected=use_pece,
        simplifies_order_2=simple_order_2,
    )
    return replace(sampler, levels_at=MappingProxyType({}))


@node("SamplerPLMS", title="SamplerPLMS", category=CATEGORY)
def sampler_plms() -> Sampler:
    """The pseudo linear multistep sampler of the first Stable Diffusion scripts."""
    return diffusion.PLMS


@node("SamplerDDIM", title="SamplerDDIM", category=CATEGORY)
def sampler_ddim(eta: Annotated[float, Range(0.0, 1.0, step=0.01), Options(round=False)] = 0.0) -> Sampler:
    """DDIM as in the first Stable Diffusion scripts: eta 0 adds no noise, 1 as much as the training chain."""
    if eta == 0:
        return diffusion.find_sampler("ddim")
    return replace(diffusion.find_sampler("euler_ancestral").with_options(eta=eta), draws_mask_noise=True)
