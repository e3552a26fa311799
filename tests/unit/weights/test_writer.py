"""Writing safetensors files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from engine.weights.writer import write_safetensors


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"a": torch.randn(3, 5).t(), "b": torch.arange(4), "c": torch.randn(2).bfloat16(), "d": torch.zeros(0)}
    write_safetensors(path, {k: (t.dtype, tuple(t.shape)) for k, t in tensors.items()}, tensors.__getitem__, {"x": "y"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"x": "y"}
        assert set(file.keys()) == set(tensors)
        for key, tensor in tensors.items():
            assert torch.equal(file.get_tensor(key), tensor)


def test_a_tensor_that_is_not_as_announced_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="not what was announced"):
        write_safetensors(path, {"a": (torch.float32, (2,))}, lambda key: torch.zeros(3))
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="announced"):
        write_safetensors(path, {"a": (torch.float32, (2,))}, lambda key: torch.zeros(2).half())
    assert path.read_bytes() == b"old"
