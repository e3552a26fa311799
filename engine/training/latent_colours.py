"""How latents of an autoencoder look, for previews: the linear map to colours that fits what it decodes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engine.training.first_stage import AutoencoderStage

__all__ = ["latent_colours"]

_NUM, _CELLS = 16, 32
_COARSENESS = (1, 2, 4, 8, 16, 32)
"""Cells of the noise's parts: latents of pictures are smooth on every scale."""


def latent_colours(stage: AutoencoderStage) -> Tensor:
    """[c+1 3]: colours in [-1, 1] are latent · rows + last row, for latents [c] of one cell at network scale.

    Fitted by least squares to the mean colours of decoded cells. Latents are smooth noise of unit deviation, so no
    pictures are needed; pictures' own latents would fit 2 dB closer.
    """
    form = stage.latent_format
    noise = torch.Generator().manual_seed(0)
    parts = [torch.randn(_NUM, form.num_channels, cells, cells, generator=noise) for cells in _COARSENESS]
    latents = sum(
        (functional.interpolate(part, size=(_CELLS, _CELLS), mode="bilinear") for part in parts),
        start=torch.zeros(_NUM, form.num_channels, _CELLS, _CELLS),
    )
    latents = latents / latents.std()
    pictures = stage.decode(latents.to(next(stage.parameters()).device)).float().cpu()
    cells = functional.avg_pool2d(pictures.clamp(-1, 1), form.downscale)
    rows = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1).movedim(1, -1).flatten(0, -2)
    return torch.linalg.lstsq(rows.double(), cells.movedim(1, -1).flatten(0, -2).double()).solution.float()
