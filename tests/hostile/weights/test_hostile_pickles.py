"""Hostile pickled checkpoints: refused before anything interprets them, or harmless in the child."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import open_checkpoint
from engine.weights.pickle_scan import scan_pickle_file
from engine.weights.pickles import ConversionPolicy


class Writes:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def archive(
    path: Path, content: bytes, *, compression: int = zipfile.ZIP_STORED, name: str = "archive/data.pkl"
) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(name, content)
        file.writestr("archive/version", "3\n")


def refused(path: Path, folder: Path, **options: bool) -> CheckpointError:
    started = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path, ConversionPolicy(folder / "converted", **options))
    assert time.process_time() - started < 20
    return caught.value


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_program_in_a_pickle_is_named_and_never_run(tmp_path: Path, is_zip: bool) -> None:
    path, trap = tmp_path / "bad.ckpt", tmp_path / "trap"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Writes(trap)}, path, _use_new_zipfile_serialization=is_zip)
    assert "posix.mkdir" in refused(path, tmp_path).message or os.name == "nt"
    assert not trap.exists()


def test_a_program_does_not_run_even_when_unusual_pickles_are_allowed(tmp_path: Path) -> None:
    path, trap = tmp_path / "bad.ckpt", tmp_path / "trap"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Writes(trap)}, path)
    refused(path, tmp_path, allow_unusual=True)
    assert not trap.exists()


def test_a_name_put_together_while_loading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    # STACK_GLOBAL whose module is taken from a list, so that the scan cannot read it.
    archive(path, b"\x80\x04]\x8c\x02osa0\x8c\x06systemq\x00h\x00(l\x93.")
    error = refused(path, tmp_path)
    assert "pickle" in error.message


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"(ios\nsystem\n", b"Pname\n"])
def test_instructions_no_tensor_file_needs_are_refused(tmp_path: Path, opcode: bytes) -> None:
    path = tmp_path / "bad.ckpt"
    archive(path, b"\x80\x02" + opcode + b".")
    assert "instruction" in refused(path, tmp_path).message


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ckpt"
    archive(path, b"\0" * (64 << 20), compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path, tmp_path).message


def test_a_long_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.ckpt"
    archive(path, b"\x80\x02" + b"N0" * 1_000_000 + b".")
    assert "instructions" in refused(path, tmp_path).message


def test_a_pickle_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.ckpt"
    archive(path, b"\x80\x02" + b"N" * (17 << 20))
    assert "bytes" in refused(path, tmp_path).message


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02]q",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62),
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        pickle.dumps(b"x" * 100)[:40],
    ],
)
def test_a_damaged_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    for name, write in (("stream.pt", None), ("zip.pt", archive)):
        path = tmp_path / name
        path.write_bytes(content + b"\0" * 8) if write is None else write(path, content)
        assert refused(path, tmp_path).code == "pickle_refused"


def test_an_archive_without_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    archive(path, b"hello", name="readme.txt")
    assert "data.pkl" in refused(path, tmp_path).message


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.ckpt"
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, stream)
    path.write_bytes(stream.getvalue()[:-600])
    assert refused(path, tmp_path).code == "pickle_refused"


def test_the_child_has_no_secrets_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.weights import pickles

    monkeypatch.setenv("ATELIER_TOKEN", "secret")
    shown = tmp_path / "shown"
    child = tmp_path / "child.py"
    child.write_text(f"import os, pathlib\npathlib.Path({str(shown)!r}).write_text(repr(dict(os.environ)))\n")
    monkeypatch.setattr(pickles, "_CHILD", child)
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1)}, path)
    refused(path, tmp_path)
    assert "secret" not in shown.read_text()


def test_tensors_alone_name_nothing_unusual(tmp_path: Path) -> None:
    path = tmp_path / "good.pt"
    torch.save(
        {"state_dict": {"a": torch.nn.Parameter(torch.zeros(2)), "b": torch.zeros(1, dtype=torch.bfloat16)}}, path
    )
    scan = scan_pickle_file(path)
    assert scan.unusual == frozenset()
    assert "collections.OrderedDict" in scan.globals
