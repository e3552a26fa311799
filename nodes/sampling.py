"""Sampling: from noise and conditioning to a latent."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Annotated, Any, Literal

from engine.api import Choice, Conditioning, Context, Latent, Model, NodeError, Range, Seed, diffusion, node

__all__ = ["ksampler", "ksampler_advanced"]

Steps = Annotated[int, Range(1, 10000)]
StepNumber = Annotated[int, Range(0, 10000)]
GuidanceScale = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
SamplerName = Annotated[str, Choice(tuple(diffusion.SAMPLERS))]
SchedulerName = Annotated[str, Choice(tuple(diffusion.DISCRETIZATIONS))]
Switch = Literal["enable", "disable"]

LatentFlow = Generator[Any, Any, Latent]


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


def _sigmas(
    model: Any, scheduler: str, steps: int, sampler: diffusion.Sampler, denoise: float = 1.0
) -> tuple[float, ...]:
    if model is None:
        raise NodeError(
            "The model input is empty.",
            code="missing_model",
            hint="The checkpoint has no diffusion network; pick another one.",
            input="model",
        )
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
    """Report every step, with a rough picture of the first item when the job wants previews."""

    def report(step: diffusion.Step) -> None:
        preview = None
        if ctx.preview_method != "none":
            pictures = model.latent_format.preview(step.denoised[:1])
            preview = None if pictures is None else pictures[0]
        ctx.progress(step.number, step.total, preview)

    return report
