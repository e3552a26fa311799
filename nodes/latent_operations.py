"""Operations on latents as values of their own, to be applied here or inside a sampler.

A LATENT_OPERATION is called as `operation(latent=tensor)` with [b c h w] and returns a new tensor of that shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch

from engine.api import Latent, LatentOperation, Range, imaging, node

__all__ = ["Sharpen", "TonemapReinhard", "apply_latent_operation", "sharpen_operation", "tonemap_reinhard_operation"]


@dataclass(frozen=True, slots=True)
class TonemapReinhard:
    """Compresses long channel vectors: x / (1 + x), where x is the length relative to (mean + 5 std) · multiplier."""

    multiplier: float

    def __call__(self, latent: torch.Tensor, **_: Any) -> torch.Tensor:
        """The tone-mapped latent."""
        length = latent.norm(dim=1, keepdim=True) + 1e-10
        axes = tuple(range(1, latent.ndim))
        top = (length.std(dim=axes, keepdim=True) * 5 + length.mean(dim=axes, keepdim=True)) * self.multiplier
        relative = length / top
        return latent / length * (relative / (relative + 1.0) * top)


@dataclass(frozen=True, slots=True)
class Sharpen:
    """Sharpens the directions of the channel vectors and keeps their lengths as factors."""

    radius: int
    sigma: float
    alpha: float

    def __call__(self, latent: torch.Tensor, **_: Any) -> torch.Tensor:
        """The sharpened latent."""
        length = latent.norm(dim=1, keepdim=True) + 1e-6
        kernel = imaging.sharpening_kernel(self.radius, self.sigma, 10 * self.alpha)
        return imaging.convolve_reflected(latent / length, kernel) * length


@node("LatentApplyOperation", category="latent/advanced/operations", experimental=True, schema_form=True)
def apply_latent_operation(samples: Latent, operation: LatentOperation) -> Latent:
    """The latent after the operation."""
    return {**samples, "samples": operation(latent=samples["samples"])}


@node("LatentOperationTonemapReinhard", category="latent/advanced/operations", experimental=True, schema_form=True)
def tonemap_reinhard_operation(
    multiplier: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0,
) -> LatentOperation:
    """Reinhard tone mapping of channel-vector lengths (Reinhard et al. 2002), white point (mean + 5 std) · multiplier.

    Against burnt colours at high guidance. The factor 5 is the customary one; a multiplier of 0 gives 0.
    """
    # A white point of exactly 0 is the limit towards 0: everything is compressed to nothing.
    return TonemapReinhard(max(multiplier, 1e-10))


@node("LatentOperationSharpen", category="latent/advanced/operations", experimental=True, schema_form=True)
def sharpen_operation(
    sharpen_radius: Annotated[int, Range(1, 31, step=1)] = 9,
    sigma: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0,
    alpha: Annotated[float, Range(0.0, 5.0, step=0.01)] = 0.1,
) -> LatentOperation:
    """Unsharp mask with strength 10 alpha on the directions of the channel vectors; the kernel is that of ImageBlur."""
    return Sharpen(sharpen_radius, sigma, alpha)
