"""A latent operation on the difference that guides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.diffusion.guidance.guidance import Sides
from engine.diffusion.requests import Latent

__all__ = ["OperationOnDifference"]


@dataclass(frozen=True, slots=True)
class OperationOnDifference:
    """The positive side becomes the negative one plus the operation's result on their difference."""

    operation: Callable[..., Latent]

    def start(self) -> Callable[[Sides], Sides]:
        """It remembers nothing."""

        def change(sides: Sides) -> Sides:
            difference = self.operation(latent=sides.wanted - sides.unwanted)
            return replace(sides, wanted=sides.unwanted + difference)

        return change
