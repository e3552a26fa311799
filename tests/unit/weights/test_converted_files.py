"""Converted pickles stay within their size, and nothing that is open goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from engine.weights.checkpoint import open_checkpoint
from engine.weights.converted_files import evict, note_use
from engine.weights.pickles import ConversionPolicy
from tests.server_harness import ROOT


def converted(folder: Path, name: str, age_s: float, size: int = 1000) -> Path:
    path = folder / f"{name}.safetensors"
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age_s, time.time()))
    return path


def age(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_atime - seconds, path.stat().st_mtime))


def test_the_least_recently_used_files_go_first_and_only_as_many_as_must(tmp_path: Path) -> None:
    a, b, c, d = (converted(tmp_path, name, age_s) for name, age_s in zip("abcd", (200, 400, 300, 100)))
    assert evict(tmp_path, 4000) == []
    assert evict(tmp_path, 2500) == [b, c]
    assert sorted(tmp_path.iterdir()) == [a, d]


def test_use_makes_a_file_the_last_to_go(tmp_path: Path) -> None:
    a, b = (converted(tmp_path, name, age_s) for name, age_s in zip("ab", (200, 100)))
    note_use(a)
    assert evict(tmp_path, 1000) == [b]


def test_what_was_asked_for_a_moment_ago_stays_though_nothing_has_it_open_yet(tmp_path: Path) -> None:
    converted(tmp_path, "a", 1)
    assert evict(tmp_path, 0) == []


def test_a_file_that_another_process_has_open_stays(tmp_path: Path) -> None:
    a, b = (converted(tmp_path, name, 100) for name in "ab")
    program = (
        "import mmap, sys\nfrom engine.weights.converted_files import hold_open\n"
        "with open(sys.argv[1], 'rb') as stream:\n"
        "    hold_open(stream)\n"
        "    kept = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)\n"
        "print('open', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(a)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        converted(tmp_path, "a", 100)  # mapping it was a use; make that long ago
        assert evict(tmp_path, 0) == [b]
        other.stdin.close()
    converted(tmp_path, "a", 100)
    assert evict(tmp_path, 0) == [a]


def test_a_checkpoint_stays_until_its_last_tensor_is_gone(tmp_path: Path) -> None:
    policy = ConversionPolicy(tmp_path / "converted", max_bytes=0)
    source = tmp_path / "model.pt"
    torch.save({"a": torch.arange(1000)}, source)
    old = tmp_path / "converted" / "old.safetensors"
    old.parent.mkdir()
    converted(old.parent, "old", 100)
    with open_checkpoint(source, policy) as checkpoint:
        tensor = checkpoint.tensor("a")
    assert not old.exists()
    age(policy.folder, 100)
    assert evict(policy.folder, 0) == []
    del tensor, checkpoint
    age(policy.folder, 100)
    assert len(evict(policy.folder, 0)) == 1
