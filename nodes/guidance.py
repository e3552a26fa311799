"""Rules that a MODEL carries for whatever guides with it. The network itself stays as it is."""

from __future__ import annotations

from typing import Annotated

from engine.api import Bool, Conditioning, LatentOperation, Model, Options, Range, diffusion, node

__all__ = [
    "adaptive_projected_guidance",
    "apply_operation_to_guidance",
    "cfg_norm",
    "cfg_zero_star",
    "differential_diffusion",
    "epsilon_scaling",
    "mahiro",
    "perpendicular_negative",
    "renormalise_cfg",
    "rescale_cfg",
    "reuse_outputs",
    "scale_frequencies",
    "tangential_damping",
]

GUIDANCE = "advanced/guidance"
PATCHED = ("patched_model",)


@node("RescaleCFG", category="advanced/model")
def rescale_cfg(model: Model, multiplier: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.7) -> Model:
    """Guidance brought back, by this part, to the contrast of the positive side; against washed-out v-prediction."""
    return model.with_guidance(model.guidance.with_combination(diffusion.Rescale(multiplier)))


@node("RenormCFG", category="advanced/model", schema_form=True)
def renormalise_cfg(
    model: Model,
    cfg_trunc: Annotated[float, Range(0.0, 100.0, step=0.01)] = 100,
    renorm_cfg: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0,
) -> Model:
    """Guidance below the noise level cfg_trunc only, held to renorm_cfg times the strength of the positive side."""
    return model.with_guidance(model.guidance.with_combination(diffusion.Renormalised(cfg_trunc, renorm_cfg)))


@node("CFGZeroStar", category=GUIDANCE, output_names=PATCHED, schema_form=True)
def cfg_zero_star(model: Model) -> Model:
    """CFG-Zero*: the negative side is scaled to the positive one before they are compared."""
    return model.with_guidance(model.guidance.with_correction(diffusion.ZeroStar()))


@node("CFGNorm", category=GUIDANCE, output_names=PATCHED, experimental=True, schema_form=True)
def cfg_norm(model: Model, strength: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0) -> Model:
    """Guidance that may not raise the norm of the prediction anywhere in the picture."""
    return model.with_guidance(model.guidance.with_correction(diffusion.NormLimit(strength)))


@node(
    "Mahiro",
    title="Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)",
    category="_for_testing",
    output_names=PATCHED,
    experimental=True,
    schema_form=True,
)
def mahiro(model: Model) -> Model:
    """MaHiRo: less of the negative side's pull where a plain leap along the positive side will do."""
    return model.with_guidance(model.guidance.with_correction(diffusion.Leap()))


@node(
    "PerpNeg",
    title="Perp-Neg (DEPRECATED by PerpNegGuider)",
    category="_for_testing",
    deprecated=True,
    experimental=True,
    schema_form=True,
)
def perpendicular_negative(
    model: Model, empty_conditioning: Conditioning, neg_scale: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0
) -> Model:
    """What PerpNegGuider does, for samplers that make their guider themselves."""
    neutral = diffusion.Neutral(diffusion.parse_conditioning(empty_conditioning), neg_scale)
    return model.with_guidance(model.guidance.with_neutral(neutral))


@node("TCFG", title="Tangential Damping CFG", category=GUIDANCE, output_names=PATCHED, schema_form=True)
def tangential_damping(model: Model) -> Model:
    """Of the negative side, only the direction it shares with the positive one counts."""
    return model.with_guidance(model.guidance.with_preparation(diffusion.TangentialDamping()))


@node("APG", title="Adaptive Projected Guidance", category="sampling/custom_sampling", schema_form=True)
def adaptive_projected_guidance(
    model: Model,
    eta: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
    norm_threshold: Annotated[float, Range(0.0, 50.0, step=0.1)] = 5.0,
    momentum: Annotated[float, Range(-5.0, 1.0, step=0.01)] = 0.0,
) -> Model:
    """Guidance with a bounded difference of which the part along the prediction counts by eta."""
    rule = diffusion.AdaptiveProjection(eta, norm_threshold, momentum)
    return model.with_guidance(model.guidance.with_preparation(rule))


@node("Epsilon Scaling", category="model_patches/unet", schema_form=True)
def epsilon_scaling(
    model: Model,
    scaling_factor: Annotated[float, Range(0.5, 1.5, step=0.001), Options(display="number")] = 1.005,
) -> Model:
    """Divide the predicted noise by a factor, against the error that builds up over the steps."""
    return model.with_guidance(model.guidance.with_correction(diffusion.EpsilonScaling(scaling_factor)))


@node("LatentApplyOperationCFG", category="latent/advanced/operations", experimental=True, schema_form=True)
def apply_operation_to_guidance(model: Model, operation: LatentOperation) -> Model:
    """Guide with the operation's result on the difference of both sides."""
    return model.with_guidance(model.guidance.with_preparation(diffusion.OperationOnDifference(operation)))


@node(
    "DifferentialDiffusion",
    title="Differential Diffusion",
    category="_for_testing",
    experimental=True,
    schema_form=True,
    optional=("strength",),
)
def differential_diffusion(model: Model, strength: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0) -> Model:
    """Read a grey noise mask as the time from which a place may change."""
    return model.with_guidance(model.guidance.with_mask_rule(diffusion.DifferentialMask(strength)))


@node("FreSca", title="FreSca", category="_for_testing", experimental=True, schema_form=True)
def scale_frequencies(
    model: Model,
    scale_low: Annotated[float, Range(0, 10, step=0.01)] = 1.0,
    scale_high: Annotated[float, Range(0, 10, step=0.01)] = 1.25,
    freq_cutoff: Annotated[int, Range(1, 10000, step=1)] = 20,
) -> Model:
    """The difference that guides, with coarse shapes (low) and fine detail (high) weighed by themselves."""
    operation = diffusion.FrequencyScaling(scale_low, scale_high, freq_cutoff)
    return model.with_guidance(model.guidance.with_preparation(diffusion.OperationOnDifference(operation)))


@node("EasyCache", title="EasyCache", category="advanced/debug/model", experimental=True, schema_form=True)
def reuse_outputs(
    model: Model,
    reuse_threshold: Annotated[float, Range(0.0, 3.0, step=0.01)] = 0.2,
    start_percent: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.15,
    end_percent: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.95,
    verbose: Bool = False,
) -> Model:
    """Fewer forwards: the network's last output goes on until it must have changed by the threshold.

    Faster and a little less true; `verbose` writes the steps that were left out to the log.
    """
    rule = diffusion.OutputReuse(reuse_threshold, start_percent, end_percent, verbose)
    return model.with_guidance(model.guidance.with_reuse(rule))
