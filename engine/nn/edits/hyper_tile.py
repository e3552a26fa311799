"""HyperTile: self-attention on the finest levels within tiles of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from engine.nn.attention import CrossAttention, SpatialTransformer, TransformerBlock
from engine.nn.edits.requirements import require_unet

__all__ = ["HyperTile", "tiles_along"]


@dataclass(frozen=True, slots=True)
class HyperTile:
    """Attend to a share of the picture only; tiles take turns among the smallest sizes that divide the picture.

    tile_cells: smallest edge of a tile, in cells of the level.
    num_sizes: how many sizes take turns, counted from the smallest.
    max_depth: coarsest level it applies to; 0 is the finest.
    scales_with_depth: double `tile_cells` with each level.
    The queries are those of tiles; keys and values are as many strips of the picture, in reading order.
    Source: tfernd's HyperTile (2023).
    """

    tile_cells: int
    num_sizes: int
    max_depth: int
    scales_with_depth: bool

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Give the self-attentions another forward for as long as their transformer runs."""
        unet = require_unet(network)
        whole: list[int] = []

        def measure(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            whole[:] = arguments[0].shape[2:]

        with ExitStack() as undo:
            undo.callback(unet.register_forward_pre_hook(measure).remove)
            transformers = [module for module in unet.modules() if isinstance(module, SpatialTransformer)]
            for turn, transformer in enumerate(transformers):
                undo.callback(transformer.register_forward_pre_hook(self._tile(whole, turn)).remove)
                for block in transformer.transformer_blocks:
                    undo.callback(block.attn1.__dict__.pop, "forward", None)
            yield

    def _tile(self, whole: list[int], turn: int) -> Any:
        def hook(transformer: SpatialTransformer, arguments: tuple[Any, ...]) -> None:
            height, width = arguments[0].shape[2:]
            depths = [level for level in range(self.max_depth + 1) if whole[0] == height << level]
            grid = (1, 1)
            if depths and whole[1] == width << depths[0]:
                edge = self.tile_cells << depths[0] if self.scales_with_depth else self.tile_cells
                grid = (tiles_along(height, edge, self.num_sizes, turn), tiles_along(width, edge, self.num_sizes, turn))
            for block in filter(_attends_itself, transformer.transformer_blocks):
                block.attn1.forward = _within_tiles(block.attn1, (height, width), grid)

        return hook


def _attends_itself(block: nn.Module) -> bool:
    return isinstance(block, TransformerBlock) and block.attends_itself


def tiles_along(length: int, smallest: int, num_sizes: int, turn: int) -> int:
    """How many tiles of equal size, at least `smallest` cells, an edge is cut into; 1 for a shorter edge."""
    sizes = [size for size in range(min(smallest, length), length + 1) if length % size == 0][:num_sizes]
    # The last of several sizes is left out, as in the published pictures: two sizes are always the smaller one.
    return length // sizes[turn % max(len(sizes) - 1, 1)]


def _within_tiles(
    attention: CrossAttention, size: tuple[int, int], grid: tuple[int, int]
) -> Callable[[Tensor, Tensor], Tensor]:
    (height, width), (rows, columns) = size, grid

    def forward(x: Tensor, context: Tensor) -> Tensor:
        if rows * columns == 1:
            return CrossAttention.forward(attention, x, context)
        batch, _, channels = x.shape
        cells = x.view(batch, rows, height // rows, columns, width // columns, channels).transpose(2, 3)
        tiles = cells.reshape(batch * rows * columns, -1, channels)
        # Not the tiles' own tokens: pictures of the reference depend on keys shared out in reading order.
        strips = context.reshape(batch * rows * columns, -1, channels)
        result = CrossAttention.forward(attention, tiles, strips)
        cells = result.view(batch, rows, columns, height // rows, width // columns, channels).transpose(2, 3)
        return cells.reshape(batch, height * width, channels)

    return forward
