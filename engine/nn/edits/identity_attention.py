"""Self-attention of the middle block that attends to nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from engine.nn.attention import CrossAttention, TransformerBlock
from engine.nn.edits.requirements import require_unet

__all__ = ["IdentityAttention"]


@dataclass(frozen=True, slots=True)
class IdentityAttention:
    """Each token keeps its own value: the attention map of the middle block is the identity.

    Source: Ahn et al. 2024, arXiv:2403.17377, equation 13.
    """

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give the self-attentions of the middle block another forward."""
        blocks = [
            block for block in require_unet(network).middle_block.modules() if isinstance(block, TransformerBlock)
        ]
        for block in blocks:
            block.attn1.forward = _own_values(block.attn1)
        try:
            yield
        finally:
            for block in blocks:
                del block.attn1.forward


def _own_values(attention: CrossAttention) -> Callable[[Tensor, Tensor], Tensor]:
    def forward(x: Tensor, context: Tensor) -> Tensor:
        return attention.to_out(attention.to_v(context))

    return forward
