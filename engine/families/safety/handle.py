"""The handle behind the SAFETY_CHECKER socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from engine.core.errors import NodeError
from engine.families.vision.handle import clip_pixels
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.safety_checker import SafetyCheckerConfig

__all__ = ["NetworkSafetyChecker", "SafetyFinding", "find_concepts"]

_CARE = 0.01
"""What is added to the scores of a picture that shows one of the special concepts."""

_WIDTHS_HELD = 12
"""Token maps of the network's width that a layer holds at once, for planning."""


@dataclass(frozen=True, slots=True)
class SafetyFinding:
    """What was found in one picture: (number of the concept, its score above 0) of each that is shown.

    The published file names its concepts by number only.
    """

    concepts: tuple[tuple[int, float], ...]

    @property
    def is_flagged(self) -> bool:
        """Whether any concept is shown."""
        return bool(self.concepts)


@dataclass(frozen=True, slots=True)
class NetworkSafetyChecker:
    """Looks at images [b h w c] in [0, 1]."""

    config: SafetyCheckerConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return self.source.identity

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    def check(self, image: Tensor) -> tuple[SafetyFinding, ...]:
        """What is found in each picture. Raises NodeError for pictures without three channels."""
        if image.ndim != 4 or image.shape[3] < 3:
            raise NodeError(f"An image must be [b h w 3], got {list(image.shape)}.", code="image_mismatch")
        pixels = clip_pixels(image, self.config.vision.image_px)
        return tuple(find_concepts(*self._run(pixels[index : index + 1])) for index in range(len(pixels)))

    def _run(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)
        moved = pixels.to(device, dtype)

        def forward(module: Any) -> tuple[Tensor, Tensor]:
            concepts, special = module(moved)
            return concepts[0].cpu(), special[0].cpu()

        tower = self.config.vision
        needed = tower.num_tokens * tower.width * _WIDTHS_HELD * dtype.itemsize
        return self.host.run(self.source, forward, activation_bytes=needed)


def find_concepts(concepts: Tensor, special: Tensor) -> SafetyFinding:
    """The verdict on excesses [n] and [m], to three digits as published: special concepts make others count more."""
    care = _CARE if any(round(score, 3) > 0 for score in special.tolist()) else 0.0
    scores = [round(score + care, 3) for score in concepts.tolist()]
    return SafetyFinding(tuple((number, score) for number, score in enumerate(scores) if score > 0))
