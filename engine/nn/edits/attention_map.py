"""A U-Net that tells where the self-attention of its middle block looks, instead of what it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import NodeError
from engine.nn.attention import CrossAttention, SpatialTransformer
from engine.nn.edits.requirements import require_unet

__all__ = ["AttentionMap"]


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The output becomes, in every channel, how much attention each place receives: 1 is an even share.

    The sum over the queries of the mean over the heads, of the first block in the middle, enlarged by repetition.
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
        """Watch the attention on the way through, and give its map at the end."""
        unet = require_unet(network)
        transformer = next((part for part in unet.middle_block if isinstance(part, SpatialTransformer)), None)
        if transformer is None:
            raise NodeError(
                "The middle block of this model has no attention to guide by.",
                code="wrong_network",
                hint="Leave out the node.",
                input="model",
            )
        seen: list[Tensor] = []
        size: list[int] = []

        def measure(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            size[:] = arguments[0].shape[2:]

        def watch(attention: CrossAttention, arguments: tuple[Any, ...]) -> None:
            seen[:] = [_received(attention, arguments[0]).unflatten(1, tuple(size))]

        def tell(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
            larger = functional.interpolate(seen.pop()[:, None], size=tuple(output.shape[2:]), mode="nearest")
            return larger.to(output.dtype).expand_as(output)

        with ExitStack() as hooks:
            hooks.callback(transformer.register_forward_pre_hook(measure).remove)
            attention = transformer.transformer_blocks[0].attn1
            hooks.callback(attention.register_forward_pre_hook(watch).remove)
            hooks.callback(unet.register_forward_hook(tell).remove)
            yield


def _received(attention: CrossAttention, tokens: Tensor) -> Tensor:
    """Attention each of tokens [b n d] receives from all of them: float32 [b n]."""
    query, key = (
        part(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2).float()
        for part in (attention.to_q, attention.to_k)
    )
    weights = torch.softmax(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5, dim=-1)
    return weights.mean(dim=1).sum(dim=1)
