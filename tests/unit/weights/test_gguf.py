"""GGUF files: unpacked tensors, shapes, and errors."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import open_checkpoint


@pytest.fixture
def packed(tmp_path: Path):
    """A file with a tensor of each packing, and the values they stand for."""
    import gguf

    values = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "sdxl")
    writer.add_string("modelspec.title", "Small")
    wanted: dict[str, torch.Tensor] = {}
    for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_1"):
        kind = gguf.GGMLQuantizationType[name]
        raw = (
            gguf.quantize(values, kind)
            if name not in ("F32", "F16")
            else values.astype({"F32": np.float32, "F16": np.float16}[name])
        )
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=kind)
        wanted[f"{name}.weight"] = torch.from_numpy(np.array(gguf.dequantize(raw, kind), dtype=np.float32))
    kernel = values.reshape(-1, 32)[:9]
    writer.add_array("comfy.gguf.orig_shape.kernel.weight", [2, 16, 3, 3])
    raw = gguf.quantize(kernel, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("kernel.weight", raw, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    wanted["kernel.weight"] = torch.from_numpy(np.array(gguf.dequantize(raw, gguf.GGMLQuantizationType.Q8_0)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "small.gguf", wanted


def test_tensors_are_unpacked_to_the_numbers_they_stand_for(packed) -> None:
    path, wanted = packed
    with open_checkpoint(path) as file:
        assert file.metadata["modelspec.title"] == "Small"
        assert file.shapes["kernel.weight"] == (2, 16, 3, 3)
        for key, values in wanted.items():
            found = file.tensor(key)
            assert found.shape == file.shapes[key]
            assert torch.allclose(found.float().flatten(), values.flatten(), rtol=2**-10, atol=1e-7), key
        renamed = file.renamed({"other": "Q4_0.weight"})
        assert torch.equal(renamed.tensor("other"), file.tensor("Q4_0.weight"))
        assert file.tensors["Q4_0.weight"].dtype == "F16"
    with pytest.raises(CheckpointError, match="was closed"):
        file.tensor("F32.weight")


def test_a_truncated_file_is_refused(packed, tmp_path: Path) -> None:
    raw = packed[0].read_bytes()
    (tmp_path / "half.gguf").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CheckpointError, match=r"half\.gguf is cut off or damaged"):
        open_checkpoint(tmp_path / "half.gguf")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "has no header"),
        (struct.pack("<IQQ", 9, 1, 1), "is of version 9"),
        (struct.pack("<IQQ", 3, 1 << 60, 1), "announces"),
    ],
)
def test_headers_that_cannot_be_are_refused_before_they_are_believed(body: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + body)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "bad.gguf")


def test_without_the_library_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "a.gguf")
    assert "`gguf`" in caught.value.hint
