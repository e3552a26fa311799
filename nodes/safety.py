"""Looking for what should not be shown to everybody. Off unless wired."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from engine.api import Bool, Context, Image, ModelFile, Socket, String, imaging, node

__all__ = ["check_safety", "load_safety_checker"]

SafetyChecker = Annotated[Any, Socket("SAFETY_CHECKER")]
_BLUR_SHARE = 1 / 16
"""Standard deviation of the blur, as a share of the longer side."""


@node("SafetyCheckerLoader", title="Load Safety Checker", category="loaders", lane="io")
def load_safety_checker(
    checker_name: Annotated[str, ModelFile("clip_vision")], ctx: Context
) -> Annotated[Any, Socket("SAFETY_CHECKER")]:
    """The CLIP safety checker published with Stable Diffusion 1: its model.safetensors, in the clip_vision folder."""
    return ctx.models.open_safety_checker(ctx.model_path("clip_vision", checker_name))


@node(
    "SafetyCheck",
    title="Safety Check",
    category="image",
    lane="device",
    output_names=("images", "is_flagged", "report"),
)
def check_safety(
    images: Image, safety_checker: SafetyChecker, action: Literal["flag", "blur", "block"] = "flag", *, ctx: Context
) -> tuple[Image, Bool, String]:
    """Look for the checker's 17 concepts in each image; flagged ones pass (flag), are blurred, or become black (block).

    The concepts are published as numbers without names. What was found is shown on the node, too.
    """
    images = imaging.require_batch(images, "images")
    findings = safety_checker.check(images)
    shown = [
        _acted(image, action) if found.is_flagged else image for image, found in zip(images, findings, strict=True)
    ]
    report = "\n".join(
        "flagged: " + ", ".join(f"concept {number} by {score:.3f}" for number, score in found.concepts)
        if found.is_flagged
        else "not flagged"
        for found in findings
    )
    ctx.text(report)
    return torch.stack(shown), any(found.is_flagged for found in findings), report


def _acted(image: torch.Tensor, action: str) -> torch.Tensor:
    if action == "flag":
        return image
    if action == "block":
        return torch.zeros_like(image)
    return _blurred(image)


def _blurred(image: torch.Tensor) -> torch.Tensor:
    """[h w c] as its coarsest cells, blended: cheap for any size, and nothing of the detail is left."""
    height, width = image.shape[:2]
    cell = max(1, round(max(height, width) * _BLUR_SHARE))
    small = imaging.resize_images(image[None], max(1, width // cell), max(1, height // cell), "area")
    return imaging.resize_images(small, width, height, "bicubic")[0].clamp(0, 1)
