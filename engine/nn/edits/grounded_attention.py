"""Gated attention to objects between the two attentions of transformer blocks that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from engine.nn.attention import TransformerBlock
from engine.nn.edits.requirements import require_unet
from engine.nn.grounding import GatedAttention

__all__ = ["GroundedAttention"]


@dataclass(frozen=True, slots=True, eq=False)
class GroundedAttention:
    """The blocks' `fuser` is shown these objects [b n d]; made for one forward, whose rows they are.

    Source: Li et al. 2023, arXiv:2301.07093, equation 8.
    """

    objects: Tensor

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give the blocks that have a fuser another forward."""
        blocks = [
            module
            for module in require_unet(network).modules()
            if isinstance(module, TransformerBlock) and isinstance(getattr(module, "fuser", None), GatedAttention)
        ]
        for block in blocks:
            block.forward = _grounded(block, self.objects)
        try:
            yield
        finally:
            for block in blocks:
                del block.forward


def _grounded(block: TransformerBlock, objects: Tensor) -> Callable[[Tensor, Tensor | None], Tensor]:
    def forward(x: Tensor, context: Tensor | None) -> Tensor:
        return block.look_outward(block.fuser(block.look_inward(x, context), objects), context)

    return forward
