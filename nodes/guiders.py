"""GUIDER values: which predictions a run wants and how they become one."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.api import Conditioning, Guider, Model, Range, diffusion, node

__all__ = ["GuidanceScale", "basic_guider", "cfg_guider", "dual_cfg_guider", "perp_neg_guider"]

GuidanceScale = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]


@node("BasicGuider", category="sampling/custom_sampling/guiders")
def basic_guider(model: Model, conditioning: Conditioning) -> Guider:
    """The plain prediction, for models that need no guidance."""
    return diffusion.Basic(model, diffusion.parse_conditioning(conditioning))


@node("CFGGuider", category="sampling/custom_sampling/guiders")
def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, cfg: GuidanceScale = 8.0) -> Guider:
    """Classifier-free guidance, what KSampler uses."""
    return diffusion.Cfg(model, diffusion.parse_conditioning(positive), diffusion.parse_conditioning(negative), cfg)


@node("DualCFGGuider", category="sampling/custom_sampling/guiders")
def dual_cfg_guider(
    *,
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    cfg_conds: GuidanceScale = 8.0,
    cfg_cond2_negative: GuidanceScale = 8.0,
    style: Literal["regular", "nested"],
) -> Guider:
    """Guidance from the negative side to cond2 and from there to cond1, each with its own strength."""
    return diffusion.DualCfg(
        model,
        diffusion.parse_conditioning(cond1),
        diffusion.parse_conditioning(cond2),
        diffusion.parse_conditioning(negative),
        cfg_conds,
        cfg_cond2_negative,
        style,
    )


@node("PerpNegGuider", category="_for_testing", experimental=True, schema_form=True)
def perp_neg_guider(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    empty_conditioning: Conditioning,
    cfg: GuidanceScale = 8.0,
    neg_scale: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0,
) -> Guider:
    """Guidance that avoids of the negative text only what the positive one does not share."""
    return diffusion.PerpNeg(
        model,
        diffusion.parse_conditioning(positive),
        diffusion.parse_conditioning(negative),
        diffusion.parse_conditioning(empty_conditioning),
        cfg,
        neg_scale,
    )
