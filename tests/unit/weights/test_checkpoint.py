"""Opening weight files lazily."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import FileStamp, open_checkpoint


def test_tensors_come_out_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    wanted = {
        "f": torch.randn(3, 4),
        "h": torch.randn(5).half(),
        "b": torch.randn(2, 2).bfloat16(),
        "i": torch.arange(6).view(2, 3),
        "q": torch.randn(4).to(torch.float8_e4m3fn),
        "m": torch.tensor([True, False]),
        "none": torch.zeros(0, 2),
    }
    save_file(wanted, path)
    with open_checkpoint(path) as checkpoint:
        for key, tensor in wanted.items():
            found = checkpoint.tensor(key)
            assert found.dtype == tensor.dtype
            assert found.shape == tensor.shape
            assert torch.equal(found.view(torch.uint8), tensor.view(torch.uint8))


def test_reading_a_tensor_does_not_copy_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(16 << 20, dtype=torch.uint8)}, path)
    with open_checkpoint(path) as checkpoint:
        before = psutil.Process().memory_info().rss
        tensors = [checkpoint.tensor("w") for _ in range(20)]
        assert psutil.Process().memory_info().rss - before < 16 << 20
        assert len({tensor.data_ptr() for tensor in tensors}) == 1


def test_released_pages_leave_the_process_and_come_back_when_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    size = 64 << 20
    save_file({"w": torch.ones(size, dtype=torch.uint8)}, path)
    with open_checkpoint(path) as checkpoint:
        tensor = checkpoint.tensor("w")
        assert int(tensor.sum()) == size
        touched = psutil.Process().memory_info().rss
        checkpoint.release(["w"])
        assert touched - psutil.Process().memory_info().rss > size // 2
        assert int(tensor.sum()) == size


def test_a_tensor_outlives_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.arange(1000)}, path)
    checkpoint = open_checkpoint(path)
    tensor = checkpoint.tensor("w")
    checkpoint.close()
    assert int(tensor.sum()) == 499_500
    with pytest.raises(CheckpointError, match="closed"):
        checkpoint.tensor("w")


def test_a_header_without_padding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (1 - len(header) % 2)  # an odd length, so that no element is aligned
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.5, -2.0))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensor("w").tolist() == [1.5, -2.0]


def test_what_a_file_is_called_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    save_file({"w": torch.zeros(1)}, path)
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(1)}, path)
    first = open_checkpoint(path).identity
    assert open_checkpoint(path).identity == first
    os.utime(path, ns=(1, 1))
    assert open_checkpoint(path).identity != first


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="not a file"):
        open_checkpoint(tmp_path)


def test_a_stamp_follows_links_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(1)}, path)
    (tmp_path / "link.safetensors").symlink_to(path)
    assert FileStamp.of(tmp_path / "link.safetensors") == FileStamp.of(path)
