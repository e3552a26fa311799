"""Pickled checkpoints: scanned, converted in a child process, opened like any other file."""

from __future__ import annotations

import collections
import os
import pathlib
from pathlib import Path

import pytest
import torch

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import open_checkpoint
from engine.weights.pickle_child import flatten_tensors
from engine.weights.pickle_scan import scan_pickle_file
from engine.weights.pickles import ConversionPolicy


@pytest.mark.parametrize("is_zip", [True, False])
def test_both_forms_of_torch_save_are_converted(tmp_path: Path, is_zip: bool) -> None:
    path = tmp_path / "model.ckpt"
    weights = collections.OrderedDict(a=torch.randn(3, 2), b=torch.arange(4), c=torch.randn(2).half())
    torch.save({"state_dict": weights, "global_step": 3}, path, _use_new_zipfile_serialization=is_zip)
    with open_checkpoint(path, ConversionPolicy(tmp_path / "converted")) as checkpoint:
        assert set(checkpoint.tensors) == {"a", "b", "c"}
        for key, tensor in weights.items():
            assert torch.equal(checkpoint.tensor(key), tensor)


def test_a_file_is_converted_once_for_each_version(tmp_path: Path) -> None:
    path, policy = tmp_path / "model.pt", ConversionPolicy(tmp_path / "converted")
    torch.save({"a": torch.zeros(1)}, path)
    open_checkpoint(path, policy)
    (first,) = policy.folder.iterdir()
    made = first.stat().st_mtime_ns
    open_checkpoint(path, policy)
    assert [item.stat().st_mtime_ns for item in policy.folder.iterdir()] == [made]
    os.utime(path, ns=(1, 1))
    open_checkpoint(path, policy)
    assert len(list(policy.folder.iterdir())) == 2


def test_tensors_that_share_storage_are_written_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    base = torch.arange(6.0)
    torch.save({"whole": base, "tail": base[3:], "column": base.view(2, 3)[:, 1]}, path)
    with open_checkpoint(path, ConversionPolicy(tmp_path / "converted")) as checkpoint:
        assert checkpoint.tensor("tail").tolist() == [3, 4, 5]
        assert checkpoint.tensor("column").tolist() == [1, 4]


def test_without_a_policy_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="pickle") as caught:
        open_checkpoint(path)
    assert caught.value.code == "pickle_refused"


def test_unusual_classes_are_refused_unless_allowed_and_then_do_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "where": pathlib.PurePosixPath("/x")}, path)
    with pytest.raises(CheckpointError, match=r"pathlib.*PurePosixPath") as caught:
        open_checkpoint(path, ConversionPolicy(tmp_path / "converted"))
    assert "safetensors" in caught.value.hint
    with open_checkpoint(path, ConversionPolicy(tmp_path / "converted", allow_unusual=True)) as checkpoint:
        assert checkpoint.tensor("a").tolist() == [1, 1]


def test_the_names_published_training_checkpoints_carry_are_known(tmp_path: Path) -> None:
    import numpy

    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "best": numpy.float64(0.5)}, path)
    assert scan_pickle_file(path).unusual == frozenset()
    with open_checkpoint(path, ConversionPolicy(tmp_path / "converted")) as checkpoint:
        assert list(checkpoint.tensors) == ["a"]


def test_a_pickle_without_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"step": 3}, path)
    with pytest.raises(CheckpointError, match="no tensors"):
        open_checkpoint(path, ConversionPolicy(tmp_path / "converted"))


def test_wrappers_are_opened_and_other_trees_flattened() -> None:
    tensor = torch.zeros(1)
    assert set(flatten_tensors({"state_dict": {"a": tensor}, "optimizer": {"b": tensor}})) == {"a"}
    assert set(flatten_tensors({"params_ema": {"a": tensor}, "params": {"b": tensor}})) == {"a"}
    assert set(flatten_tensors({"string_to_param": {"*": tensor}, "name": "x"})) == {"string_to_param.*"}
    assert set(flatten_tensors([tensor, {"x": [tensor]}])) == {"0", "1.x.0"}
    assert set(flatten_tensors({"a": tensor, "model": 3})) == {"a"}
