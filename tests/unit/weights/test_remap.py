"""Strict renaming from a file's keys to a network's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import Checkpoint, open_checkpoint
from engine.weights.remap import KeyRule, read_part, refuse_unknown_keys


def checkpoint(folder: Path, tensors: dict[str, torch.Tensor]) -> Checkpoint:
    save_file(tensors, folder / "a.safetensors")
    return open_checkpoint(folder / "a.safetensors")


def test_keys_below_a_prefix_keep_their_names(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"net.w": torch.eye(2), "other.w": torch.zeros(1)})
    reader = read_part(opened, "net.", {"w": (2, 2)})
    assert torch.equal(reader.read("w"), torch.eye(2))
    assert reader.used_keys == {"net.w"}


def test_a_rule_renames_by_pattern(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"layers.3.weight": torch.ones(2)})
    reader = read_part(opened, "", {"block.3.w": (2,)}, [KeyRule(r"layers\.(\d+)\.weight", (r"block.\1.w",))])
    assert reader.read("block.3.w").tolist() == [1, 1]


def test_a_fused_weight_is_split_by_rows(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"qkv": torch.arange(12.0).view(6, 2)})
    reader = read_part(opened, "", dict.fromkeys("qkv", (2, 2)), [KeyRule("qkv", ("q", "k", "v"))])
    assert reader.read("k").tolist() == [[4, 5], [6, 7]]
    assert reader.read("v").tolist() == [[8, 9], [10, 11]]


def test_a_matrix_can_be_transposed(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"projection": torch.arange(6.0).view(2, 3)})
    rule = KeyRule("projection", ("projection.weight",), is_transposed=True)
    reader = read_part(opened, "", {"projection.weight": (3, 2)}, [rule])
    assert reader.read("projection.weight").tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_matrix_stands_for_a_convolution_of_one_pixel(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"q": torch.eye(3)})
    assert read_part(opened, "", {"q": (3, 3, 1, 1)}).read("q").shape == (3, 3, 1, 1)


def test_a_rule_without_targets_drops_a_key(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"w": torch.zeros(1), "position_ids": torch.arange(3)})
    assert read_part(opened, "", {"w": (1,)}, [KeyRule("position_ids", ())]).used_keys == {"w"}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, r"lacks 1 weight\(s\): w"),
        ({"w": torch.zeros(2), "v": torch.zeros(1)}, r"has 1 unknown weight\(s\): v"),
        ({"w": torch.zeros(3)}, r"w is \[3\] where \[2\] is needed"),
        ({"w": torch.zeros(2), "alias": torch.zeros(2)}, r"repeats 1 weight\(s\)"),
    ],
)
def test_faults_are_named(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    opened = checkpoint(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_part(opened, "", {"w": (2,)}, [KeyRule("alias", ("w",))], "toy")
    assert caught.value.code == "checkpoint_keys"


def test_rows_that_do_not_divide_are_misshapen(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"qkv": torch.zeros(7, 2)})
    with pytest.raises(CheckpointError, match="misshapen"):
        read_part(opened, "", dict.fromkeys("qkv", (2, 2)), [KeyRule("qkv", ("q", "k", "v"))])


def test_a_key_that_nothing_uses_is_refused_by_name(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, {"w": torch.zeros(1), "betas": torch.zeros(1), "surprise.w": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"surprise\.w"):
        refuse_unknown_keys(opened, {"w"}, ["betas"])
    refuse_unknown_keys(opened, {"w", "surprise.w"}, ["betas"])
    with pytest.raises(CheckpointError, match="betas"):
        refuse_unknown_keys(opened, {"w", "surprise.w"}, [])
