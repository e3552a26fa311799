"""Token merging (ToMe): self-attention of the finest level over fewer tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.nn.attention import CrossAttention, SpatialTransformer, TransformerBlock
from engine.nn.edits.requirements import require_unet

__all__ = ["TokenMerging", "match_tokens"]


@dataclass(frozen=True, slots=True)
class TokenMerging:
    """Each token that is most like one of a coarse grid joins it before self-attention and gets its answer after.

    ratio: share of the tokens that join; at most three quarters, since every fourth token is one of the grid.
    The grid is the same at every step, so that a seed means the same picture in every batch.
    Source: Bolya & Hoffman 2023, arXiv:2303.17604.
    """

    ratio: float

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give the self-attentions of the finest level another forward, and them their blocks' tokens to compare."""
        unet = require_unet(network)
        whole: list[int] = []
        with ExitStack() as undo:
            undo.callback(unet.register_forward_pre_hook(_measure(whole)).remove)
            transformers = [module for module in unet.modules() if isinstance(module, SpatialTransformer)]
            for transformer in transformers if self.ratio > 0 else ():
                size: list[int] = []
                undo.callback(transformer.register_forward_pre_hook(_measure(size)).remove)
                for block in transformer.transformer_blocks:
                    undo.callback(block.register_forward_pre_hook(self._merge(whole, size)).remove)
                    undo.callback(block.attn1.__dict__.pop, "forward", None)
            yield

    def _merge(self, whole: list[int], size: list[int]) -> Any:
        def hook(block: TransformerBlock, arguments: tuple[Any, ...]) -> None:
            block.attn1.__dict__.pop("forward", None)
            if size == whole and block.attends_itself:
                tokens = arguments[0]
                matching = match_tokens(tokens, size, int(tokens.shape[1] * self.ratio))
                block.attn1.forward = _merging(block.attn1, *matching)

        return hook


def _measure(size: list[int]) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        size[:] = arguments[0].shape[2:]

    return hook


def _merging(
    attention: CrossAttention, merge: Callable[[Tensor], Tensor], spread: Callable[[Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    def forward(x: Tensor, context: Tensor) -> Tensor:
        merged = merge(x)
        return spread(CrossAttention.forward(attention, merged, merged))

    return forward


def match_tokens(
    x: Tensor, size: Sequence[int], num_joining: int
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """(merge, spread) for tokens [b n d] of a map of this size: fewer tokens, and back to all places.

    The grid is the upper left cell of each square of four; the others join the nearest of it by the cosine of `x`, the
    most alike first. Source: arXiv:2210.09461, section 3, with the grid of arXiv:2303.17604.
    """
    height, width = size
    is_kept = torch.zeros(height, width, dtype=torch.bool, device=x.device)
    is_kept[: height // 2 * 2 : 2, : width // 2 * 2 : 2] = True
    places = torch.arange(height * width, device=x.device)
    kept, others = places[is_kept.flatten()], places[~is_kept.flatten()]
    num_joining = min(num_joining, len(others))
    if not num_joining or not len(kept):
        return (lambda tokens: tokens), (lambda tokens: tokens)
    unit = x / x.norm(dim=-1, keepdim=True)
    alike, nearest = (unit[:, others] @ unit[:, kept].transpose(1, 2)).max(dim=-1)
    order = alike.argsort(dim=-1, descending=True)
    joining, staying = order[:, :num_joining], order[:, num_joining:]
    target = nearest.gather(1, joining)

    def pick(tokens: Tensor, index: Tensor) -> Tensor:
        return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))

    def merge(tokens: Tensor) -> Tensor:
        free = tokens[:, others]
        index = target[..., None].expand(-1, -1, tokens.shape[-1])
        grid = tokens[:, kept].scatter_reduce(1, index, pick(free, joining), "mean")
        return torch.cat([pick(free, staying), grid], dim=1)

    def spread(tokens: Tensor) -> Tensor:
        stayed, grid = tokens[:, : staying.shape[1]], tokens[:, staying.shape[1] :]
        result = torch.empty(*x.shape[:2], tokens.shape[-1], dtype=tokens.dtype, device=tokens.device)
        result[:, kept] = grid
        for index, values in ((others[staying], stayed), (others[joining], pick(grid, target))):
            result.scatter_(1, index[..., None].expand(-1, -1, values.shape[-1]), values)
        return result

    return merge, spread
