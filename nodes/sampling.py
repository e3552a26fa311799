"""Sampling: from noise and conditioning to a latent."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from engine.api import (
    Bool,
    Choice,
    Conditioning,
    Context,
    Guider,
    Latent,
    Model,
    NodeError,
    Noise,
    Range,
    Sampler,
    Seed,
    Sigmas,
    diffusion,
    latent_viewer,
    node,
)

__all__ = ["ksampler", "ksampler_advanced", "sample_custom", "sample_with_guider"]

Steps = Annotated[int, Range(1, 10000)]
StepNumber = Annotated[int, Range(0, 10000)]
GuidanceScale = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
SamplerName = Annotated[str, Choice(tuple(diffusion.SAMPLERS))]
SchedulerName = Annotated[str, Choice(tuple(diffusion.DISCRETIZATIONS))]
Switch = Literal["enable", "disable"]

LatentFlow = Generator[Any, Any, Latent]
LatentsFlow = Generator[Any, Any, tuple[Latent, Latent]]
BOTH_OUTPUTS = ("output", "denoised_output")


@node("KSampler", category="sampling")
def ksampler(
    *,
    model: Model,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: GuidanceScale = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0,
    ctx: Context,
) -> LatentFlow:
    """Remove noise from a latent under classifier-free guidance.

    With `denoise` below 1 the latent is only partly noised and the last part of a longer schedule is run.
    """
    sampler = diffusion.find_sampler(sampler_name)
    sigmas = _sigmas(model, scheduler, steps, sampler, denoise)
    return (yield from _run(ctx, model, positive, negative, cfg, sampler, sigmas, latent_image, seed))


@node("KSamplerAdvanced", title="KSampler (Advanced)", category="sampling")
def ksampler_advanced(
    *,
    model: Model,
    add_noise: Switch,
    noise_seed: Seed = 0,
    steps: Steps = 20,
    cfg: GuidanceScale = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: StepNumber = 0,
    end_at_step: StepNumber = 10000,
    return_with_leftover_noise: Literal["disable", "enable"],
    ctx: Context,
) -> LatentFlow:
    """Run some of the steps of a schedule, so that several samplers can share one.

    Without added noise the latent must carry the noise of its first step already; with leftover noise the result
    carries that of its last.
    """
    sampler = diffusion.find_sampler(sampler_name)
    sigmas = diffusion.cut_sigmas(
        _sigmas(model, scheduler, steps, sampler),
        start_at_step,
        end_at_step,
        keeps_noise=return_with_leftover_noise == "enable",
    )
    adds_noise = add_noise == "enable"
    return (yield from _run(ctx, model, positive, negative, cfg, sampler, sigmas, latent_image, noise_seed, adds_noise))


@node("SamplerCustom", category="sampling/custom_sampling", output_names=BOTH_OUTPUTS)
def sample_custom(
    *,
    model: Model,
    add_noise: Bool = True,
    noise_seed: Seed = 0,
    cfg: GuidanceScale = 8.0,
    positive: Conditioning,
    negative: Conditioning,
    sampler: Sampler,
    sigmas: Sigmas,
    latent_image: Latent,
    ctx: Context,
) -> LatentsFlow:
    """Run a sampler over given levels under classifier-free guidance.

    The second output is the last prediction of the clean latent, which differs from the first where noise is left.
    """
    _require_model(model)
    guider = diffusion.Cfg(model, diffusion.parse_conditioning(positive), diffusion.parse_conditioning(negative), cfg)
    noise = diffusion.SeedNoise(noise_seed) if add_noise else diffusion.NoNoise(noise_seed)
    return (yield from _run_custom(ctx, noise, guider, sampler, sigmas, latent_image))


@node("SamplerCustomAdvanced", category="sampling/custom_sampling", output_names=BOTH_OUTPUTS)
def sample_with_guider(
    noise: Noise, guider: Guider, sampler: Sampler, sigmas: Sigmas, latent_image: Latent, ctx: Context
) -> LatentsFlow:
    """Run a sampler over given levels with any guider and any noise.

    The second output is the last prediction of the clean latent, which differs from the first where noise is left.
    """
    return (yield from _run_custom(ctx, noise, guider, sampler, sigmas, latent_image))


def _run_custom(
    ctx: Context, noise: Any, guider: diffusion.Guider, sampler: diffusion.Sampler, sigmas: Any, latent: dict[str, Any]
) -> Generator[Any, Any, tuple[dict[str, Any], dict[str, Any]]]:
    latent_format = guider.denoiser.latent_format
    prepared = {**latent, "samples": latent_format.with_channels(latent["samples"])}
    report = _step_reporter(ctx, guider.denoiser)
    last: diffusion.Step | None = None

    def on_step(step: diffusion.Step) -> None:
        nonlocal last
        last = step
        report(step)

    samples = yield from diffusion.sample(
        guider,
        sampler,
        tuple(sigmas.tolist()),
        diffusion.parse_latent(latent),
        seed=noise.seed,
        noise=noise.generate_noise(prepared),
        on_step=on_step,
    )
    output = diffusion.with_samples(latent, samples)
    if last is None:
        return output, output
    return output, diffusion.with_samples(latent, latent_format.from_network(last.denoised).float().cpu())


def _require_model(model: Any) -> None:
    if model is None:
        raise NodeError(
            "The model input is empty.",
            code="missing_model",
            hint="The checkpoint has no diffusion network; pick another one.",
            input="model",
        )


def _sigmas(
    model: Any, scheduler: str, steps: int, sampler: diffusion.Sampler, denoise: float = 1.0
) -> tuple[float, ...]:
    _require_model(model)
    return diffusion.discretize(
        scheduler,
        model.parameterization.sigma_table,
        steps,
        denoise,
        drops_penultimate=sampler.drops_penultimate,
    )


def _run(
    ctx: Context,
    model: Any,
    positive: list[Any],
    negative: list[Any],
    scale: float,
    sampler: diffusion.Sampler,
    sigmas: Sequence[float],
    latent: dict[str, Any],
    seed: int,
    adds_noise: bool = True,
) -> Generator[Any, Any, dict[str, Any]]:
    guider = diffusion.Cfg(model, diffusion.parse_conditioning(positive), diffusion.parse_conditioning(negative), scale)
    samples = yield from diffusion.sample(
        guider,
        sampler,
        sigmas,
        diffusion.parse_latent(latent),
        seed=seed,
        adds_noise=adds_noise,
        on_step=_step_reporter(ctx, model),
    )
    return diffusion.with_samples(latent, samples)


def _step_reporter(ctx: Context, model: Any) -> diffusion.OnStep:
    """Report every step, with a way to look at the first item when the job wants previews."""
    viewer = latent_viewer(ctx, model.latent_format)

    def report(step: diffusion.Step) -> None:
        ctx.progress(step.number, step.total, None if viewer is None else partial(viewer, step.denoised))

    return report
