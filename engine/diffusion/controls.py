"""Pictures and boxes that steer a prediction beside its text: as conditioning holds them, and ready for a model.

What a network does with them is its family's; here they only have to be carried, cut into rows and merged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.diffusion.batch_rows import pick_rows, stack_rows

__all__ = [
    "BoundControl",
    "BoundGrounding",
    "ControlHandle",
    "ControlSignal",
    "ControlUse",
    "GroundingHandle",
    "GroundingSignal",
    "GroundingUse",
    "Phrase",
    "merge_controls",
    "merge_grounding",
]


class BoundControl(Protocol):
    """A control network that fits one model."""

    @property
    def identity(self) -> str:
        """Equal identity, equal function; requests merge only under equal ones."""
        ...

    def prepare(self, image: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """What the network takes of a picture [n h w c] for a latent of this height and width, each [n ...]."""
        ...


class ControlHandle(Protocol):
    """The value of a CONTROL_NET socket."""

    def bound_to(self, denoiser: Any) -> BoundControl:
        """The network for this model. Raises NodeError when it was made for another kind of model."""
        ...


class BoundGrounding(Protocol):
    """A grounding network that fits one model."""

    @property
    def identity(self) -> str:
        """Equal identity, equal function; requests merge only under equal ones."""
        ...

    def objects(self, phrases: Sequence[Phrase], height: int, width: int) -> Tensor:
        """The tokens [1 n d] of these phrases in a latent of this height and width."""
        ...


class GroundingHandle(Protocol):
    """The value of a GLIGEN socket."""

    def bound_to(self, denoiser: Any) -> BoundGrounding:
        """The network for this model. Raises NodeError when it was made for another kind of model."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ControlUse:
    """A control network, the picture it is shown [n h w c] in [0, 1], how strongly and when it applies."""

    handle: ControlHandle
    image: Tensor = field(repr=False)
    strength: float = 1.0
    start_fraction: float = 0.0
    end_fraction: float = 1.0

    @property
    def nbytes(self) -> int:
        """Size of the picture, for whoever counts what a value holds."""
        return self.image.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """Words and where they belong: pooled text [1 d], and a box in latent cells."""

    pooled: Tensor = field(repr=False)
    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True, slots=True, eq=False)
class GroundingUse:
    """A grounding network and the phrases it places."""

    handle: GroundingHandle
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ControlSignal:
    """One control of a prediction.

    hints: what the network takes of the picture, each [1|b ...]. strength: [1|b]. sigma_start, sigma_end: noise levels
    it applies to, both included. image: the picture [1|b h w c], which is fitted anew to a window of the latent; None
    once signals are merged, which comes after that. context: text of its own [1|b n d], None for the prediction's.
    """

    network: BoundControl
    hints: tuple[Tensor, ...]
    strength: Tensor
    sigma_start: float
    sigma_end: float
    image: Tensor | None = None
    context: Tensor | None = None

    @property
    def shape_class(self) -> Hashable:
        """Equal for signals that can share a forward."""
        context = None if self.context is None else (tuple(self.context.shape[1:]), self.context.dtype)
        return (self.network.identity, context, *((tuple(hint.shape[1:]), hint.dtype) for hint in self.hints))

    def covers(self, sigma: float) -> bool:
        """Whether it applies at this level."""
        return self.sigma_end <= sigma <= self.sigma_start

    def fitted(self, height: int, width: int) -> ControlSignal:
        """The signal for a latent, or a window of one, of this size: the whole picture is scaled to it."""
        if self.image is None:
            raise ValueError("merged signals cannot be fitted to another size")
        made = self.network.prepare(self.image, height, width)
        return replace(self, hints=tuple(hint.to(self.hints[0].device, torch.float32) for hint in made))

    def rows(self, start: int, stop: int) -> ControlSignal:
        """The signal of items start..stop-1."""
        picked = self.mapped(lambda tensor: pick_rows(tensor, start, stop))
        return replace(picked, strength=pick_rows(self.strength, start, stop), image=None)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> ControlSignal:
        """The same signal with changed hints and text; strengths keep their precision until they are used."""
        context = None if self.context is None else change(self.context)
        return replace(self, hints=tuple(change(hint) for hint in self.hints), context=context)


@dataclass(frozen=True, slots=True, eq=False)
class GroundingSignal:
    """The objects of a prediction, [1|b n d], and the network that looks at them."""

    network: BoundGrounding
    objects: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> GroundingSignal:
        """The same signal with changed tensors."""
        return replace(self, objects=change(self.objects))

    @property
    def shape_class(self) -> Hashable:
        """Equal for signals that can share a forward."""
        return (self.network.identity, tuple(self.objects.shape[1:]), self.objects.dtype)

    def rows(self, start: int, stop: int) -> GroundingSignal:
        """The signal of items start..stop-1."""
        return replace(self, objects=pick_rows(self.objects, start, stop))


def merge_controls(parts: Sequence[tuple[ControlSignal, ...]], num_items: Sequence[int]) -> tuple[ControlSignal, ...]:
    """One batch of controls whose shape classes are equal one by one."""
    if len(parts) == 1:
        return parts[0]
    return tuple(_merged(signals, num_items) for signals in zip(*parts, strict=True))


def merge_grounding(parts: Sequence[GroundingSignal | None], num_items: Sequence[int]) -> GroundingSignal | None:
    """One batch of equal shape class."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    return replace(present[0], objects=stack_rows([part.objects for part in present], num_items))


def _merged(signals: Sequence[ControlSignal], num_items: Sequence[int]) -> ControlSignal:
    hints = tuple(stack_rows(rows, num_items) for rows in zip(*(signal.hints for signal in signals), strict=True))
    strength = stack_rows([signal.strength for signal in signals], num_items)
    contexts = [signal.context for signal in signals if signal.context is not None]
    context = stack_rows(contexts, num_items) if contexts else None
    return replace(signals[0], hints=hints, strength=strength, image=None, context=context)
