"""Deep shrink: the inner part of a U-Net works on a smaller picture for a part of the trajectory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.nn.edits.requirements import require_unet

__all__ = ["DeepShrink"]


@dataclass(frozen=True, slots=True)
class DeepShrink:
    """Shrink the feature map behind one block on the way down and grow it again where it meets a larger skip.

    block: number of the block, counted from 0; one the network has not changes nothing.
    factor: how much smaller height and width become.
    sigma_start, sigma_end: noise levels it applies to, both included.
    keeps_skip: the skip of that block itself stays large.
    shrink_method, grow_method: names for `resize`.
    resize: resize(map [b c h w], width, height, method); not part of the identity.
    Source: Kohya's "Deep Shrink" (2023), after the observation that networks repeat motifs above their training size.
    """

    block: int
    factor: float
    sigma_start: float
    sigma_end: float
    keeps_skip: bool
    shrink_method: str
    grow_method: str
    resize: Callable[[Tensor, int, int, str], Tensor] = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """Whether it applies at this level."""
        return self.sigma_end <= sigma <= self.sigma_start

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Resize between blocks."""
        unet = require_unet(network)
        down, up = list(unet.input_blocks), list(unet.output_blocks)
        if self.block >= len(down):
            yield
            return
        sizes: list[torch.Size] = []
        after = [*down, unet.middle_block][self.block + 1]
        # Skips are met in reverse: that of input block i by output block (number of blocks - 1 - i).
        last_large = self.block if self.keeps_skip else self.block - 1
        meets = len(up) - 1 - last_large
        before_meeting = up[meets - 1] if meets > 0 else unet.middle_block
        with ExitStack() as hooks:
            if self.keeps_skip:
                shrink = after.register_forward_pre_hook(self._shrink_argument(sizes))
            else:
                hooks.callback(down[self.block].register_forward_pre_hook(_remember(sizes)).remove)
                shrink = down[self.block].register_forward_hook(self._shrink_result)
            hooks.callback(shrink.remove)
            if meets < len(up):
                hooks.callback(before_meeting.register_forward_hook(self._grow(sizes)).remove)
            yield

    def _smaller(self, x: Tensor) -> Tensor:
        height, width = (max(1, round(side / self.factor)) for side in x.shape[2:])
        return self.resize(x, width, height, self.shrink_method)

    def _shrink_argument(self, sizes: list[torch.Size]) -> Any:
        def hook(block: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            x, *rest = arguments
            sizes[:] = [x.shape[2:]]
            return (self._smaller(x), *rest)

        return hook

    def _shrink_result(self, block: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        return self._smaller(output)

    def _grow(self, sizes: list[torch.Size]) -> Any:
        def hook(block: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
            height, width = sizes[0]
            if output.shape[2:] == sizes[0]:
                return output
            return self.resize(output, width, height, self.grow_method)

        return hook


def _remember(sizes: list[torch.Size]) -> Any:
    """A hook that keeps the size of what a block is given; that of the last skip which stays large."""

    def hook(block: nn.Module, arguments: tuple[Any, ...]) -> None:
        sizes[:] = [arguments[0].shape[2:]]

    return hook
