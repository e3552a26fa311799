"""The safetensors header reader on good files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from engine.weights.header import read_header

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn)


def test_a_header_tells_dtype_shape_and_place_of_every_tensor(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)}, path, {"title": "x"})
    header = read_header(path)
    assert {key: (info.dtype, info.shape, info.num_bytes) for key, info in header.tensors.items()} == {
        "w": ("F32", (2, 3), 24),
        "b": ("F16", (4,), 8),
    }
    assert dict(header.metadata) == {"title": "x"}


def test_names_may_hold_any_unicode_and_escapes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    names = ['quote"d', "back\\slash", "naïve 🦊", "tab\tbed", ""]
    save_file({name: torch.zeros(1) for name in names}, path)
    assert sorted(read_header(path).tensors) == sorted(names)


def test_empty_tensors_and_scalars_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"empty": torch.zeros(0, 5), "scalar": torch.tensor(2.0)}, path)
    tensors = read_header(path).tensors
    assert tensors["empty"].shape == (0, 5)
    assert tensors["scalar"].shape == ()


def test_a_file_without_tensors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({}, path)
    assert dict(read_header(path).tensors) == {}


@settings(max_examples=50, deadline=None)
@given(
    tensors=st.dictionaries(
        st.text(max_size=20).filter(lambda name: name != "__metadata__" and name.isprintable()),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4)),
        min_size=1,
        max_size=8,
    ),
    metadata=st.dictionaries(st.text("abc", max_size=5), st.text('xyz{}[]:,"\\', max_size=20), max_size=3),
)
def test_whatever_the_library_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict, metadata: dict
) -> None:
    path = tmp_path_factory.mktemp("header") / "a.safetensors"
    path.write_bytes(
        save({name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in tensors.items()}, metadata)
    )
    header = read_header(path)
    assert {name: list(info.shape) for name, info in header.tensors.items()} == {n: s for n, (_, s) in tensors.items()}
    assert dict(header.metadata) == metadata
