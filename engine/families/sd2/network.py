"""What is particular to Stable Diffusion 2: its prediction and its text encoder."""

from __future__ import annotations

from dataclasses import replace

from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.adapters.text_names import TextNames
from engine.families.text.clip_form import CLIP_H
from engine.families.unet.latents import thousand_steps

__all__ = ["TEXT_KIND", "parameterization"]

TEXT_KIND = replace(
    CLIP_H,
    adapter_names=TextNames(
        flat=("lora_te_",),
        dotted=(
            "text_encoder.", "base_model.model.", "text_encoders.clip_h.transformer.", "cond_stage_model.transformer.",
        ),
    ),
)  # fmt: skip
"""ViT-H, the last layer but one after the final norm."""


def parameterization(is_v: bool) -> Parameterization:
    """Eps or v over the thousand steps of training."""
    return Parameterization(VPrediction() if is_v else EpsPrediction(), thousand_steps())
