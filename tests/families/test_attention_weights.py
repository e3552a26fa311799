"""Attention made stronger or weaker: exactly the projections that are named, each times its factor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nodes.attention_weights import (
    multiply_clip_attention,
    multiply_cross_attention,
    multiply_self_attention,
    multiply_temporal_attention,
)
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    path: Path = shallow_checkpoint(tmp_path_factory.mktemp("attention"))
    return store_on(host_with()).open_checkpoint(path)


def factors(handle: Any) -> dict[str, float]:
    """What each patched weight is multiplied by, by the end of its name."""
    return {
        ".".join(name.split(".")[-4:]): round(float(handle.patches.apply(name, torch.ones(1))), 4)
        for name in handle.patches.names
    }


@pytest.mark.parametrize(
    ("multiply", "attention"), [(multiply_self_attention, "attn1"), (multiply_cross_attention, "attn2")]
)
def test_the_projections_of_one_kind_of_attention_are_scaled(
    opened: tuple[Any, Any, Any], multiply: Any, attention: str
) -> None:
    model = opened[0]
    name = f"middle_block.1.transformer_blocks.0.{attention}.to_k.weight"
    assert torch.equal(multiply(model, k=0.5).weights.read(name), model.weights.read(name) * 0.5)
    assert factors(multiply(model, 2.0, 0.5, 3.0, 0.25)) == {
        f"0.{attention}.to_q.weight": 2.0,
        f"0.{attention}.to_k.weight": 0.5,
        f"0.{attention}.to_v.weight": 3.0,
        f"{attention}.to_out.0.weight": 0.25,
        f"{attention}.to_out.0.bias": 0.25,
    }


def test_the_text_encoders_projections_are_scaled_with_their_biases(opened: tuple[Any, Any, Any]) -> None:
    clip = opened[1]
    found = factors(multiply_clip_attention(clip, 2.0, 0.5, 3.0, 0.25))
    assert {name.partition("self_attn.")[2]: factor for name, factor in found.items()} == {
        f"{part}_proj.{kind}": factor
        for part, factor in (("q", 2.0), ("k", 0.5), ("v", 3.0), ("out", 0.25))
        for kind in ("weight", "bias")
    }


def test_without_layers_between_frames_only_the_structural_factors_count(opened: tuple[Any, Any, Any]) -> None:
    model = opened[0]
    assert multiply_temporal_attention(model, self_temporal=2.0, cross_temporal=2.0) is model
    found = factors(multiply_temporal_attention(model, 2.0, 9.0, 3.0, 9.0))
    assert set(found.values()) == {2.0, 3.0}
    assert {name.split(".")[0] for name, factor in found.items() if factor == 2.0} == {"attn1"}
