"""The picture a control network is shown: made of the training picture itself, as the nodes make it of any picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.core.digest import digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.companion import Companion
from engine.training.data.latent_encoder import LatentEncoder
from engine.training.data.place import Place
from engine.training.embedders.embedder import Embedder, read_key

__all__ = ["HINT_KEY", "HintMaker", "ShownHint"]

HINT_KEY = "hint"
"""Under which batches from a cache hold what was made of their pictures."""


class HintMaker(Protocol):
    """A recipe of hints. `unpacked(packed(hint))` is the hint, up to rounding to bytes."""

    @property
    def kind(self) -> str:
        """What hints show."""
        ...

    @property
    def input_key(self) -> str:
        """Where batches hold pictures."""
        ...

    def hint(self, pixels: Tensor) -> Tensor:
        """Pictures [b 3 h w] in [-1, 1] → what the network is shown of them [b 3 h w] in [0, 1]."""
        ...

    def packed(self, hint: Tensor) -> np.ndarray:
        """A hint in few bytes, uint8 [b c h' w']."""
        ...

    def unpacked(self, stored: Tensor) -> Tensor:
        """The hint [b 3 h w] in [0, 1] of its bytes, on their device."""
        ...


class ShownHint(Embedder):
    """The hint of each example: from its cache, or else made of its picture."""

    companion_key = HINT_KEY

    def __init__(self, recipe: HintMaker) -> None:
        super().__init__(recipe.input_key, 0.0, False)
        self.recipe = recipe

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """[b 3 h w] in [0, 1]."""
        if HINT_KEY in batch:
            return (self.recipe.unpacked(batch[HINT_KEY].to(device, non_blocking=True)),)
        pixels = read_key(batch, self.input_key).to(device, torch.float32, non_blocking=True)
        return (self.recipe.hint(pixels),)

    def companion(self, encoder: LatentEncoder) -> Companion:
        """Hints beside latents."""
        return _HintCompanion(self.recipe)


@dataclass(frozen=True, slots=True)
class _HintCompanion:
    """Packed hints. Fulfils `engine.training.data.companion.Companion`."""

    recipe: HintMaker

    @property
    def key(self) -> str:
        return HINT_KEY

    @property
    def title(self) -> str:
        return f"making hints ({self.recipe.kind})"

    @property
    def digest(self) -> str:
        return digest_value(["hint", to_plain(self.recipe)])

    def packed(self, images: Tensor, places: Sequence[Place]) -> np.ndarray:
        return self.recipe.packed(self.recipe.hint(images.float()))
