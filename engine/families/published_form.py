"""How a family's checkpoints are published: what it takes to write one that any tool opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["PublishedForm", "PublishingFamily", "TextForm"]


@dataclass(frozen=True, slots=True)
class TextForm:
    """Where a text encoder's keys begin, and whether they are OpenCLIP's."""

    prefix: str
    is_open_clip: bool = False


@dataclass(frozen=True, slots=True)
class PublishedForm:
    """Facts about a family's checkpoints.

    architecture: gives a model's name in Stability's ModelSpec. marks: gives the keys that say what a model predicts,
    None when no key can. texts: by the encoder's name in token batches.
    """

    architecture: Callable[[Any], str]
    marks: Callable[[Any], Mapping[str, Tensor] | None]
    texts: Mapping[str, TextForm]


@runtime_checkable
class PublishingFamily(Protocol):
    """A family whose checkpoints can be written."""

    @property
    def published(self) -> PublishedForm:
        """How its files look."""
        ...
