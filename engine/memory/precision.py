"""Which dtype each part of a model computes in, by device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from engine.core.errors import SettingsError
from engine.memory.device import Device, supports_bfloat16

__all__ = ["Part", "PrecisionPolicy", "parse_dtype"]

Part = Literal["network", "vae", "text_encoder"]
_COMPUTE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def parse_dtype(name: str) -> torch.dtype:
    """A dtype by torch's name for it. Raises SettingsError for one networks do not compute in."""
    try:
        return _COMPUTE_DTYPES[name]
    except KeyError:
        raise SettingsError(
            f"Networks cannot compute in {name!r}.", hint=f"Use one of {', '.join(_COMPUTE_DTYPES)}."
        ) from None


@dataclass(frozen=True, slots=True)
class PrecisionPolicy:
    """Requested compute dtypes; None lets the device decide.

    The CPU computes in float32 whatever is stored. Accelerators compute networks in float16, autoencoders in bfloat16
    where it is native (float16 overflows in some of them) and float32 elsewhere, text encoders in float32: they run
    once per prompt and their rounding would be seen in every step.
    """

    network: torch.dtype | None = None
    vae: torch.dtype | None = None
    text_encoder: torch.dtype | None = None
    force_float32: bool = False

    def compute_dtype(self, part: Part, device: Device) -> torch.dtype:
        """The dtype in which a part's weights and activations meet."""
        if self.force_float32:
            return torch.float32
        requested = getattr(self, part)
        if requested is not None:
            return requested
        if device.kind == "cpu" or part == "text_encoder":
            return torch.float32
        if part == "vae":
            return torch.bfloat16 if supports_bfloat16(device) else torch.float32
        return torch.float16
