"""The Brownian path against torchsde's tree of the same entropy."""

from __future__ import annotations

import pytest
import torch

from engine.diffusion.brownian import BrownianPath
from engine.diffusion.discretization.karras import karras_levels

torchsde = pytest.importorskip("torchsde")


@pytest.mark.parametrize("seed", [0, 1017, 2**64 - 1])
def test_increments_over_the_steps_of_a_schedule_are_torchsde_s(seed: int) -> None:
    # Ends that are multiples of the rounding unit: torchsde warns about others, its own rounding moves them out.
    levels = [round(level, 6) for level in karras_levels(12, 0.029167, 14.614642)[:-1]]
    path = BrownianPath(levels[-1], levels[0], (2, 4, 8, 8), seed)
    tree = torchsde.BrownianTree(levels[-1], torch.zeros(2, 4, 8, 8), levels[0], entropy=seed)
    for start, end in zip(levels[1:], levels[:-1], strict=True):
        wanted = tree(start, end)
        assert float((path.increment(start, end) - wanted).norm() / wanted.norm()) < 1e-6
