"""What the upscaler is told beside the text: the small picture with some noise, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.core.errors import NodeError
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.sigma_table import scaled_linear_betas
from engine.families.unet.form import fitted

__all__ = ["BETA_RANGE", "AugmentationLevel", "SmallPicture"]

_PICTURE_KEY = "concat_image"
"""Key of a conditioning's picture [b 3 h w] in [-1, 1]."""
_AUGMENTATION_KEY = "noise_augmentation"
_MAX_LEVEL = 350
"""The noisiest level it was trained with."""
_SEED_OFFSET = -10
"""The noise on pictures is drawn from a seed so far from the run's."""

BETA_RANGE = (0.0001, 0.02)
"""Of both schedules, the latent's and the small picture's; source: the published configuration."""


@dataclass(frozen=True, slots=True)
class AugmentationLevel:
    """The level of the noise on the small picture, as a weight for each row of the network's table."""

    num_levels: int

    def vector(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1 num_levels] float32, 1 at the level."""
        level = torch.tensor([min(_level(entry), self.num_levels - 1)])
        return functional.one_hot(level, self.num_levels).float()


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """The small picture at a level of noise. Source: Saharia et al. 2021, arXiv:2104.07636 (conditioning on the
    channels); Ho et al. 2021, arXiv:2106.15282, section 4 (noise on what is enlarged)."""

    def concat(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[b 3 h w] float32 of the latent's size. Raises NodeError when there is no picture."""
        given = entry.extras.get(_PICTURE_KEY)
        if given is None:
            raise NodeError(
                "This model enlarges pictures, and was given none.",
                code="no_picture",
                hint="Send both sides of the conditioning through SD_4XUpscale_Conditioning.",
            )
        picture = given.float().cpu()
        generator = torch.Generator().manual_seed((entry.seed + _SEED_OFFSET) % 2**64)
        noise = torch.randn(picture.shape, generator=generator)
        share = float((1.0 - scaled_linear_betas(1000, *BETA_RANGE)).cumprod(0)[_level(entry)])
        return fitted(picture * share**0.5 + noise * (1.0 - share) ** 0.5, latent)


def _level(entry: ConditioningEntry) -> int:
    return round(_MAX_LEVEL * min(max(float(entry.extras.get(_AUGMENTATION_KEY, 0.0)), 0.0), 1.0))
