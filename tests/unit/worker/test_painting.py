"""Painting without a server: controls, holes, and a second model for the last steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.training.adapters.base_model import BaseModelRecipe
from engine.training.adapters.checkpoint_export import CheckpointExportRecipe
from engine.training.context import BuildContext
from engine.training.inpainting.recipe import InpaintingRecipe
from engine.worker.painting import Handover, Painter, PaintSettings, Steering
from tests.control_files import control_file, opened
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

SETTINGS = PaintSettings(steps=4, guidance=3.0, sampler="dpmpp_2m", scheduler="karras", size_px=64)
TEXTS = ["a red fox", "a blue house"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    return store_on(host_with()).open_checkpoint(shallow_checkpoint(tmp_path_factory.mktemp("painting")))


def painted(painter: Painter, settings: PaintSettings = SETTINGS, **given: Any) -> np.ndarray:
    return np.stack(list(painter.paint(TEXTS, settings, 3, **given))).astype(int)


def test_a_control_steers_by_its_strength_and_not_at_all_at_zero(parts: tuple[Any, Any, Any], tmp_path: Path) -> None:
    handle = opened(control_file(tmp_path))
    hints = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(2)]
    plain = painted(Painter(*parts))
    weak, full, late = (
        np.abs(painted(Painter(*parts), steering=steering) - plain).mean()
        for steering in (Steering(handle, hints, 0.1), Steering(handle, hints), Steering(handle, hints, 1.0, 0.9))
    )
    assert np.array_equal(painted(Painter(*parts), steering=Steering(handle, hints, 0.0)), plain)
    assert 0 < weak < full
    assert 0 <= late < full


def test_a_hand_over_goes_on_from_the_noise_that_was_left(parts: tuple[Any, Any, Any]) -> None:
    euler = replace(SETTINGS, sampler="euler")
    alone = painted(Painter(*parts), euler)
    assert np.abs(painted(Painter(*parts, Handover(parts[0], 2)), euler) - alone).max() <= 1
    other = replace(parts[0], parameterization=replace(parts[0].parameterization))
    assert np.abs(painted(Painter(*parts, Handover(other, 4)), euler) - alone).max() <= 1


def test_an_inpainting_network_is_shown_the_hole_and_the_picture_around_it(
    parts: tuple[Any, Any, Any], tmp_path: Path
) -> None:
    checkpoint = shallow_checkpoint(tmp_path)
    module = InpaintingRecipe("inpainting", BaseModelRecipe(checkpoint)).build(BuildContext(tmp_path))
    weight = module.network.input_blocks[0][0].weight
    weight.data[:, 4:] = weight.data[:, :4].mean(dim=1, keepdim=True)
    CheckpointExportRecipe("checkpoint").write(module, tmp_path / "fill.safetensors", {})
    filler = store_on(host_with()).open_checkpoint(tmp_path / "fill.safetensors")
    begin = [np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8) for n in range(2)]
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1.0
    around = [picture.copy() for picture in begin]
    inside = [picture.copy() for picture in begin]
    for first, second in zip(around, inside):
        first[mask == 0], second[mask == 1] = 200, 30
    given = {"masks": [mask] * 2}
    wanted = painted(Painter(*filler), pictures=begin, **given)
    assert not np.array_equal(painted(Painter(*filler), pictures=around, **given), wanted)
    assert not np.array_equal(painted(Painter(*parts), pictures=begin, **given), wanted)
    # What is under the mask is greyed before the network sees it; only the latent to begin from knows it.
    hidden = painted(Painter(*filler), pictures=inside, **given)
    assert np.abs(hidden - wanted)[:, 24:40, 24:40].mean() < 2
