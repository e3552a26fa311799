"""Hostile safetensors files: one typed error each, quickly, without building what they describe."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import CheckpointError
from engine.weights.header import read_header

GOOD = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
MEBIBYTE = 1 << 20


def file(header: object, data: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(**changes: object) -> dict[str, object]:
    return {"w": {**GOOD["w"], **changes}}


def two(first: list[int], second: list[int]) -> dict[str, object]:
    return {"a": {**GOOD["w"], "data_offsets": first}, "b": {**GOOD["w"], "data_offsets": second}}


HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "empty file": b"",
    "seven bytes": b"\0" * 7,
    "header of length 0": file(b"", length=0),
    "header of length 1": file(b"{", length=1),
    "header of length 2**63": file(GOOD, length=1 << 63),
    "header of length 2**64 - 1": file(GOOD, length=(1 << 64) - 1),
    "header beyond the file": file(GOOD, length=10_000),
    "header one byte beyond the file": file(GOOD, data=b"", length=len(json.dumps(GOOD)) + 1),
    "header of 100 MB": lambda: file(b" " * (100 * MEBIBYTE)),
    "16 MiB of open brackets": lambda: file(b"[" * (16 * MEBIBYTE)),
    "16 MiB of open braces": lambda: file(b'{"a":' * (3 * MEBIBYTE)),
    "one name of 16 MiB": lambda: file(b'{"' + b"a" * (16 * MEBIBYTE - 4) + b'"}'),
    "one name of escapes": lambda: file(b'{"' + b'\\"' * (7 * MEBIBYTE) + b'"}'),
    "a million small entries": lambda: file(b"{" + b",".join(b'"%d":[]' % n for n in range(1_000_000)) + b"}"),
    "too many tensors": lambda: file(
        b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(200_000)) + b"}"
    ),
    "metadata of a million entries": lambda: file(
        b'{"__metadata__":{' + b",".join(b'"%d":""' % n for n in range(1_000_000)) + b"}}"
    ),
    "not JSON": file(b"{hello}"),
    "a list": file([]),
    "a number": file(b"12345678"),
    "text after the end": file(json.dumps(GOOD).encode() + b"x"),
    "no closing brace": file(json.dumps(GOOD).encode()[:-1]),
    "trailing comma": file(b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],}}'),
    "not UTF-8": file(b'{"\xff\xfe":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "lone surrogate metadata number": file({"__metadata__": {"a": 1}, **GOOD}),
    "duplicate key": file(
        b'{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
    ),
    "duplicate key by escape": file(
        b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0077":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
    ),
    "duplicate metadata": file(b'{"__metadata__":{},"__metadata__":{}}', b""),
    "duplicate field": file(b'{"w":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}}'),
    "unknown field": file(entry(extra=1)),
    "unknown dtype": file(entry(dtype="F7")),
    "dtype is a number": file(entry(dtype=4)),
    "no dtype": file({"w": {"shape": [2], "data_offsets": [0, 8]}}),
    "no shape": file({"w": {"dtype": "F32", "data_offsets": [0, 8]}}),
    "negative shape": file(entry(shape=[-2])),
    "float shape": file(entry(shape=[2.0])),
    "shape of nine axes": file(entry(shape=[1] * 8 + [2])),
    "shape that overflows": file(entry(shape=[1 << 62, 1 << 62])),
    "shape of strings": file(entry(shape=["2"])),
    "nested shape": file(entry(shape=[[2]])),
    "negative offset": file(entry(data_offsets=[-8, 0])),
    "offsets reversed": file(entry(data_offsets=[8, 0])),
    "three offsets": file(entry(data_offsets=[0, 4, 8])),
    "offset of 2**64": file(entry(data_offsets=[1 << 64, (1 << 64) + 8])),
    "offset beyond the data": file(entry(data_offsets=[8, 16])),
    "offsets that do not fit the shape": file(entry(data_offsets=[0, 7])),
    "data missing": file(GOOD, b"\0" * 7),
    "data left over": file(GOOD, b"\0" * 9),
    "overlap": file(two([0, 8], [4, 12]), b"\0" * 12),
    "same place twice": file(two([0, 8], [0, 8])),
    "hole": file(two([0, 8], [9, 17]), b"\0" * 17),
    "hole at the start": file(entry(data_offsets=[1, 9]), b"\0" * 9),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused_within_a_second_and_50_mb(name: str, tmp_path: Path) -> None:
    content = HOSTILE[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content if isinstance(content, bytes) else content())
    del content
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        read_header(path)
    assert time.process_time() - started < 1.0
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 50 * MEBIBYTE
    finally:
        tracemalloc.stop()


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 400), change=st.binary(max_size=6), cut=st.integers(0, 6))
def test_a_damaged_header_is_read_or_refused_but_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, position: int, change: bytes, cut: int
) -> None:
    header = {"__metadata__": {"a": "b\u00e9"}, **two([0, 8], [8, 16])}
    content = bytearray(file(header, b"\0" * 16))
    content[position % len(content) : position % len(content) + cut] = change
    path = tmp_path_factory.mktemp("damaged") / "bad.safetensors"
    path.write_bytes(content)
    try:
        tensors = read_header(path).tensors
    except CheckpointError:
        return
    assert sum(info.num_bytes for info in tensors.values()) <= len(content)
