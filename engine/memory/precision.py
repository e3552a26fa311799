"""Which dtype each part of a model computes in, and which its weights are held in between forwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from engine.core.errors import SettingsError
from engine.memory.device import Device, supports_bfloat16

__all__ = ["Part", "PrecisionPolicy", "is_storage_only", "parse_dtype", "rounded", "wider_than"]

Part = Literal["network", "vae", "text_encoder", "upscaler"]
_COMPUTE_DTYPES = ("float64", "float32", "float16", "bfloat16")
_STORAGE_DTYPES = ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu")


def parse_dtype(name: str) -> torch.dtype:
    """A dtype by torch's name for it. Raises SettingsError for one weights are neither held nor computed in."""
    known = (*_COMPUTE_DTYPES, *_STORAGE_DTYPES)
    if name not in known:
        raise SettingsError(f"Networks cannot use {name!r}.", hint=f"Use one of {', '.join(known)}.")
    return getattr(torch, name)


def is_storage_only(dtype: torch.dtype) -> bool:
    """Whether weights can be held in this dtype but nothing is computed in it: the one-byte floats."""
    return dtype.is_floating_point and dtype.itemsize == 1


def rounded(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A weight in a one-byte float, each value the nearest there is; the weight itself when it has that dtype.

    Values beyond the range become its ends: the conversion alone would make infinities or NaN of them.
    """
    if weight.dtype == dtype:
        return weight
    # Nothing but conversions is defined for one-byte floats.
    wide = weight.float() if is_storage_only(weight.dtype) else weight
    limit = min(torch.finfo(dtype).max, torch.finfo(wide.dtype).max)
    return wide.clamp(-limit, limit).to(dtype)


def wider_than(dtype: torch.dtype, device: Device) -> torch.dtype | None:
    """What to compute in when values left the range of a dtype; None when it has the range of single precision already.

    bfloat16 has that range, but where the device only emulates it, float32 is quicker.
    """
    if dtype is torch.float16 and supports_bfloat16(device):
        return torch.bfloat16
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else None


@dataclass(frozen=True, slots=True)
class PrecisionPolicy:
    """Requested dtypes; None lets the device decide.

    A request for a one-byte float is about storage: weights are held in it and cast as each layer runs; what they
    compute in stays the device's choice. Any other request is about both.

    The CPU computes in float32 whatever is stored. Accelerators compute networks in float16, autoencoders in bfloat16
    where it is native and float16 elsewhere (one that overflows is computed in float32 from then on; Apple's GPUs use
    that from the beginning), text encoders in float32: they run once per prompt and their rounding would be seen in
    every step; upscalers in float32, as their rounding is seen in the picture itself.

    force_float32: compute everything in float32. force_float16: compute networks and text encoders in float16 unless
    they have a request of their own; autoencoders are left out because some overflow and would be computed twice.
    """

    network: torch.dtype | None = None
    vae: torch.dtype | None = None
    text_encoder: torch.dtype | None = None
    force_float32: bool = False
    force_float16: bool = False

    def compute_dtype(self, part: Part, device: Device) -> torch.dtype:
        """The dtype in which a part's weights and activations meet."""
        if self.force_float32:
            return torch.float32
        requested = self._requested(part)
        if requested is not None and not is_storage_only(requested):
            return requested
        if self.force_float16 and part in ("network", "text_encoder"):
            return torch.float16
        if device.kind == "cpu" or part in ("text_encoder", "upscaler"):
            return torch.float32
        if part == "vae" and device.kind == "mps":
            return torch.float32
        return torch.bfloat16 if part == "vae" and supports_bfloat16(device) else torch.float16

    def storage_dtype(self, part: Part, device: Device) -> torch.dtype:
        """The dtype in which the weights of a part's linear and convolution layers are held between forwards."""
        requested = self._requested(part)
        if requested is not None and is_storage_only(requested):
            return requested
        return self.compute_dtype(part, device)

    def _requested(self, part: Part) -> torch.dtype | None:
        return None if part == "upscaler" else getattr(self, part)

    def refuse_unsupported(self, device: Device) -> None:
        """Raise SettingsError for a dtype that the device does not have."""
        for requested in (self.network, self.vae, self.text_encoder):
            if device.kind == "mps" and (requested is torch.float64 or (requested and is_storage_only(requested))):
                name = str(requested).removeprefix("torch.")
                raise SettingsError(
                    f"Apple GPUs have no {name}.", code="unsupported_dtype", hint="Leave the flag out, or add --cpu."
                )
