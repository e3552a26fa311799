"""What a model is shown beside a latent, such as edges: made of the pictures of a cache once and kept there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from engine.training.data.place import Place

__all__ = ["Companion"]


class Companion(Protocol):
    """One thing made of pictures. Its arrays lie in a folder of the cache, called by its key and a digest."""

    @property
    def key(self) -> str:
        """Under which examples hold it."""
        ...

    @property
    def title(self) -> str:
        """What is made, for the progress line."""
        ...

    @property
    def digest(self) -> str:
        """Equal digest, equal arrays from equal pictures."""
        ...

    def packed(self, images: Tensor, places: Sequence[Place]) -> np.ndarray:
        """Pictures [b 3 h w] in [-1, 1] with their places in the cache → uint8 or float16 [b c h' w']."""
        ...
