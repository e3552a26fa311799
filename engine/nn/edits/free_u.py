"""FreeU: stronger backbone features and weaker low frequencies of the skips on the way up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.nn.edits.requirements import require_unet

__all__ = ["FreeU"]

_LOW_FREQUENCIES = 1
"""Rows and columns on each side of the spectrum's centre that count as low."""


@dataclass(frozen=True, slots=True)
class FreeU:
    """Scale half of the backbone's channels and the low frequencies of the skip where both meet.

    backbone, skip: factors where the backbone is four times and twice as wide as the finest level.
    follows_structure: scale the backbone by its own mean over channels, normalized per item (version 2).
    Source: Si et al. 2023, arXiv:2309.11497, equations 4 to 6, and its code for version 2.
    """

    backbone: tuple[float, float]
    skip: tuple[float, float]
    follows_structure: bool = False

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Change what each block on the way up is given."""
        unet = require_unet(network)
        base = unet.config.model_channels
        factors = {4 * base: (self.backbone[0], self.skip[0]), 2 * base: (self.backbone[1], self.skip[1])}
        channels = base * unet.config.channel_mult[-1]
        with ExitStack() as hooks:
            for block in unet.output_blocks:
                if channels in factors:
                    hook = block.register_forward_pre_hook(self._hook(channels, *factors[channels]))
                    hooks.callback(hook.remove)
                channels = block[0].out_layers[-1].out_channels
            yield

    def _hook(self, channels: int, backbone: float, skip: float) -> Any:
        def change(block: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            joined, *rest = arguments
            hidden = self._scaled(joined[:, :channels], backbone)
            return (torch.cat([hidden, _filtered(joined[:, channels:], skip)], dim=1), *rest)

        return change

    def _scaled(self, hidden: Tensor, factor: float) -> Tensor:
        half = hidden.shape[1] // 2
        scale: Tensor | float = factor
        if self.follows_structure:
            mean = hidden.mean(1, keepdim=True)
            low, high = mean.amin(dim=(2, 3), keepdim=True), mean.amax(dim=(2, 3), keepdim=True)
            scale = (factor - 1.0) * (mean - low) / (high - low) + 1.0
        return torch.cat([hidden[:, :half] * scale, hidden[:, half:]], dim=1)


def _filtered(skip: Tensor, factor: float) -> Tensor:
    """The skip with its low frequencies times a factor; computed in single precision."""
    height, width = skip.shape[2:]
    spectrum = torch.fft.fftshift(torch.fft.fftn(skip.float(), dim=(2, 3)), dim=(2, 3))
    mask = torch.ones(height, width, device=skip.device)
    rows = slice(max(height // 2 - _LOW_FREQUENCIES, 0), height // 2 + _LOW_FREQUENCIES)
    columns = slice(max(width // 2 - _LOW_FREQUENCIES, 0), width // 2 + _LOW_FREQUENCIES)
    mask[rows, columns] = factor
    shifted = torch.fft.ifftshift(spectrum * mask, dim=(2, 3))
    return torch.fft.ifftn(shifted, dim=(2, 3)).real.to(skip.dtype)
