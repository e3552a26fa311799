"""Saying how a network was trained when its file does not, and what it computes in."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from engine.api import Bool, Model, NodeError, Range, diffusion, node

__all__ = ["compute_in", "sample_continuous_edm", "sample_continuous_v", "sample_discrete"]

Level = Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)]


@node("ModelSamplingDiscrete", title="ModelSamplingDiscrete", category="advanced/model")
def sample_discrete(
    model: Model, sampling: Literal["eps", "v_prediction", "lcm", "x0", "img_to_img"], zsnr: Bool = False
) -> Model:
    """The model as trained over numbered steps: on noise, velocity, the clean picture, or by consistency distillation.

    `zsnr`: the last step was nothing but noise.
    """
    return model.with_parameterization(diffusion.discrete_parameterization(sampling, is_zero_terminal=zsnr))


@node("ModelSamplingContinuousEDM", title="ModelSamplingContinuousEDM", category="advanced/model")
def sample_continuous_edm(
    model: Model,
    sampling: Literal["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"],
    sigma_max: Level = 120.0,
    sigma_min: Level = 0.002,
) -> Model:
    """The model as trained over all noise levels between two, told the logarithm of each."""
    if sampling in ("edm_playground_v2.5", "cosmos_rflow"):
        raise NodeError(
            f"{sampling!r} needs latents this model was not opened with.",
            code="unsupported_sampling",
            hint="Playground 2.5 checkpoints with the keys edm_mean and edm_std need no such node.",
            input="sampling",
        )
    _check_levels(sigma_min, sigma_max)
    return model.with_parameterization(diffusion.continuous_parameterization(sampling, sigma_min, sigma_max))


@node("ModelSamplingContinuousV", title="ModelSamplingContinuousV", category="advanced/model")
def sample_continuous_v(
    model: Model, sampling: Literal["v_prediction"], sigma_max: Level = 500.0, sigma_min: Level = 0.03
) -> Model:
    """The model as trained on velocity over all noise levels between two, told the angle of each."""
    _check_levels(sigma_min, sigma_max)
    return model.with_parameterization(diffusion.velocity_parameterization(sigma_min, sigma_max))


@node("ModelComputeDtype", title="ModelComputeDtype", category="advanced/debug/model")
def compute_in(model: Model, dtype: Literal["default", "fp32", "fp16", "bf16"]) -> Model:
    """The model computing in this precision, whatever the settings say; "default" leaves it as it is."""
    wanted = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    return model if dtype == "default" else model.with_compute_dtype(wanted[dtype])


def _check_levels(sigma_min: float, sigma_max: float) -> None:
    if not 0 < sigma_min < sigma_max:
        raise NodeError(
            f"The smallest level must be above 0 and below the largest, got {sigma_min} and {sigma_max}.",
            code="bad_levels",
            input="sigma_min",
        )
