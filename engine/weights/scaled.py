"""Weights stored in eight bits with a scale beside them: the true weight is the stored one times its scale.

The scale is a patch, so that the weight stays in eight bits wherever it is held and is multiplied as it is prepared.
Source: the layout of ComfyUI's scaled files (`scaled_fp8`, `NAME.scale_weight`); Micikevicius et al. 2022,
arXiv:2209.05433, section 3 (scales of a whole tensor).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.core.digest import digest_bytes
from engine.weights.checkpoint import Checkpoint
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WEIGHT_SCALE, WeightReader

__all__ = ["ScalePatch", "scaling_of"]


@dataclass(frozen=True, slots=True)
class ScalePatch:
    """Multiplies weights by their scales, of a whole tensor or of each of its rows. keys: weight name → scale's key."""

    identity: str
    checkpoint: Checkpoint = field(repr=False, compare=False)
    keys: Mapping[str, str] = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        """The weights it changes."""
        return frozenset(self.keys)

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """The product, in place of the private copy."""
        scale = self.checkpoint.tensor(self.keys[name]).to(weight.device, torch.float32)
        scale = scale.reshape(-1, *(1,) * (weight.ndim - 1)) if scale.numel() > 1 else scale.reshape(())
        is_wide = weight.dtype in (torch.float32, torch.float64)
        product = (weight if is_wide else weight.float()).mul_(scale)
        return product if is_wide else weight.copy_(product)


def scaling_of(reader: WeightReader) -> PatchSet:
    """The scales of a reader's weights as patches; none for files without."""
    keys = {}
    for name, ref in reader.refs.items():
        key = ref.key.removesuffix("weight") + WEIGHT_SCALE
        if ref.key.endswith(".weight") and key in reader.scale_keys:
            keys[name] = key
    if not keys:
        return NO_PATCHES
    identity = digest_bytes(reader.checkpoint.identity.encode(), b"scales", *(key.encode() for key in keys))
    return PatchSet((ScalePatch(identity, reader.checkpoint, keys),))
