"""The tensors a network takes beside the noisy latent and its noise level, and how those of many become one batch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from engine.diffusion.batch_rows import pick_rows, stack_rows
from engine.diffusion.controls import ControlSignal, GroundingSignal, merge_controls, merge_grounding

__all__ = ["MAX_CONTEXT_REPEAT", "NO_OPTIONS", "ConditionInputs", "can_share_context", "merge_inputs"]

MAX_CONTEXT_REPEAT = 4
"""A context is repeated at most this often to meet a longer one; beyond it two forwards cost less than padding."""


NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
"""Shared by all inputs without options, so that they may be merged."""


@dataclass(frozen=True, slots=True, eq=False)
class ConditionInputs:
    """What a prediction is conditioned on, in the form the network takes.

    The leading axis is 1 (shared by all items of a request) or b; a network's forward always sees b rows.

    context: tokens for cross-attention [1|b n d], or None.
    vector: one vector per item (pooled text, sizes, times) [1|b d], or None.
    concat: channels joined to the scaled noisy latent (mask, masked image) [1|b c h w], or None.
    options: what hooks of a single forward need; only requests that hold the same object share a forward.
    controls: pictures that steer the prediction; only those of equal networks share a forward.
    grounding: phrases at places, or None.
    """

    context: Tensor | None = None
    vector: Tensor | None = None
    concat: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS)
    controls: tuple[ControlSignal, ...] = ()
    grounding: GroundingSignal | None = None

    @property
    def shape_class(self) -> Hashable:
        """Equal for inputs that can share a forward, apart from the token count (see `can_share_context`)."""
        context = None if self.context is None else (self.context.shape[2], self.context.dtype)
        others = tuple(None if t is None else (tuple(t.shape[1:]), t.dtype) for t in (self.vector, self.concat))
        controls = tuple(signal.shape_class for signal in self.controls)
        grounding = None if self.grounding is None else self.grounding.shape_class
        return (context, *others, id(self.options), controls, grounding)

    @property
    def num_tokens(self) -> int:
        """Length of the context; 0 without one."""
        return 0 if self.context is None else self.context.shape[1]

    def at(self, sigma: float) -> ConditionInputs:
        """The inputs at a noise level: controls that do not apply there are left out."""
        if all(signal.covers(sigma) for signal in self.controls):
            return self
        return replace(self, controls=tuple(signal for signal in self.controls if signal.covers(sigma)))

    def crop(self, top: int, left: int, height: int, width: int) -> ConditionInputs:
        """The inputs for a window of the latent, in latent pixels.

        `concat` is cut; the pictures of controls are scaled to the window as they are to a whole latent.
        """
        if self.concat is None and not self.controls:
            return self
        window = None if self.concat is None else self.concat[..., top : top + height, left : left + width]
        controls = tuple(signal.fitted(height, width) for signal in self.controls)
        return replace(self, concat=window, controls=controls)

    def rows(self, start: int, stop: int) -> ConditionInputs:
        """The inputs of items start..stop-1; shared tensors stay shared."""

        def pick(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else pick_rows(tensor, start, stop)

        return replace(
            self,
            context=pick(self.context),
            vector=pick(self.vector),
            concat=pick(self.concat),
            controls=tuple(signal.rows(start, stop) for signal in self.controls),
            grounding=None if self.grounding is None else self.grounding.rows(start, stop),
        )


def can_share_context(first_tokens: int, second_tokens: int) -> bool:
    """Whether contexts of these lengths may be repeated to a common one.

    Attention over a context repeated k times equals attention over the context: every weight appears k times and is
    divided by a sum k times as large.
    """
    if first_tokens == second_tokens:
        return True
    if 0 in (first_tokens, second_tokens):
        return False
    return math.lcm(first_tokens, second_tokens) <= MAX_CONTEXT_REPEAT * min(first_tokens, second_tokens)


def merge_inputs(parts: Sequence[ConditionInputs], num_items: Sequence[int]) -> ConditionInputs:
    """One batch of parts of equal `shape_class`: `num_items[i]` rows of each, contexts repeated to one length."""
    tokens = math.lcm(*(part.num_tokens for part in parts if part.context is not None))
    contexts = [_repeat_tokens(part.context, tokens) for part in parts]
    return ConditionInputs(
        _stack(contexts, num_items),
        _stack([part.vector for part in parts], num_items),
        _stack([part.concat for part in parts], num_items),
        parts[0].options,
        merge_controls([part.controls for part in parts], num_items),
        merge_grounding([part.grounding for part in parts], num_items),
    )


def _repeat_tokens(context: Tensor | None, tokens: int) -> Tensor | None:
    if context is None or context.shape[1] == tokens:
        return context
    return context.repeat(1, tokens // context.shape[1], 1)


def _stack(tensors: Sequence[Tensor | None], num_items: Sequence[int]) -> Tensor | None:
    present = [t for t in tensors if t is not None]
    return stack_rows(present, num_items) if present else None
