"""Reading a safetensors header with limits first: a hostile file costs bounded time and memory and one typed error.

Format: eight bytes little-endian header length, a JSON object, then the data. Every byte of the data belongs to exactly
one tensor. The scanner accepts only the shape of JSON the format allows, so nothing large is built unchecked.
Source: safetensors README, "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import decoder
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from engine.core.errors import CheckpointError

__all__ = ["DTYPE_BYTES", "MAX_HEADER_BYTES", "SafetensorsHeader", "TensorInfo", "read_header"]

MAX_HEADER_BYTES = 16 << 20
_MAX_TENSORS = 1 << 14
_MAX_METADATA = 1 << 12
_MAX_KEY_LENGTH = 1024

DTYPE_BYTES: Mapping[str, int] = MappingProxyType({
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
})  # fmt: skip
"""Bytes per element of each dtype, in the spelling of the format."""

_SPACE = re.compile(r"[ \t\r\n]*")
_INTEGERS = re.compile(r"\[[ \t\r\n]*(?:\d{1,19}(?:[ \t\r\n]*,[ \t\r\n]*\d{1,19}){0,7})?[ \t\r\n]*\]")
_USUAL_TENSOR = re.compile(
    r'\{"dtype":"(\w{1,16})","shape":\[((?:\d{1,19}(?:,\d{1,19}){0,7})?)\],"data_offsets":\[(\d{1,19}),(\d{1,19})\]\}'
)
_NUMBER = re.compile(r"\d+")
_HINT = "The file is damaged or not a safetensors file; download it again."
_SHOWN_BYTES = 8
_STRANGERS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file it stands for",
     "Fetch the file itself, with `git lfs pull` or from the page of the model."),
    (b"<!doctype", "is a web page, not a weight file",
     "Download the file again; the address may ask to log in first."),
    (b"<html", "is a web page, not a weight file",
     "Download the file again; the address may ask to log in first."),
)  # fmt: skip
"""How other files begin, in small letters, what they are, and what to do."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file: dtype in safetensors spelling, shape, and its place [start, stop) counted from the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A checked header. `data_start` is the file offset of the data; `digest` the SHA-256 of the header's own bytes."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_start: int
    digest: str


def read_header(path: Path) -> SafetensorsHeader:
    """Read and check the header of a safetensors file; no tensor data is read.

    Raises CheckpointError for everything the format forbids: a length beyond the file or 16 MiB, malformed JSON,
    duplicate keys, unknown dtypes, shapes that disagree with the offsets, overlaps, holes, missing or surplus bytes.
    """
    with path.open("rb") as stream:
        file_bytes = stream.seek(0, 2)
        stream.seek(0)
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise _refusal(path, f"has {len(prefix)} bytes, too few for a header")
        (length,) = struct.unpack("<Q", prefix)
        if length > MAX_HEADER_BYTES:
            raise _stranger(path, prefix + stream.read(_SHOWN_BYTES * 4))
        if length > file_bytes - 8:
            raise _refusal(path, f"announces a header of {length} bytes but has {file_bytes} in all")
        if length < 2:
            raise _refusal(path, f"announces a header of {length} bytes")
        raw = stream.read(length)
    digest, text = hashlib.sha256(raw).hexdigest(), raw.decode("latin-1")
    del raw
    tensors, metadata = _Scanner(path, text).scan()
    _check_layout(path, tensors, file_bytes - 8 - length)
    return SafetensorsHeader(MappingProxyType(tensors), MappingProxyType(metadata), 8 + length, digest)


def _stranger(path: Path, start: bytes) -> CheckpointError:
    """What a file is whose first eight bytes are no length of a header."""
    for begin, what, hint in _STRANGERS:
        if start.lower().startswith(begin):
            return CheckpointError(f"{path.name} {what}.", code="bad_checkpoint", hint=hint)
    shown = start[:_SHOWN_BYTES]
    return _refusal(path, f"begins with {shown!r}, as no weight file does that is read here")


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path.name} {what}.", code="bad_checkpoint", hint=_HINT, details={"file": path.name})


def _check_layout(path: Path, tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    """Every tensor has the size of its shape; together they cover the data once, without holes."""
    for name, info in tensors.items():
        wanted = math.prod(info.shape) * DTYPE_BYTES[info.dtype]
        if info.stop - info.start != wanted:
            size = info.stop - info.start
            raise _refusal(path, f"gives {name!r} {size} bytes where {info.dtype}{list(info.shape)} needs {wanted}")
    position = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if info.start != position:
            fault = "overlaps another tensor" if info.start < position else "leaves a hole before it"
            raise _refusal(path, f"has a bad offset: {name!r} {fault}")
        position = info.stop
    if position != data_bytes:
        raise _refusal(path, f"has {data_bytes} bytes of data but its header describes {position}")


class _Scanner:
    """One pass over the header. Text is Latin-1 so that memory stays one byte a character; names are decoded apart."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.at = 0

    def fail(self, what: str) -> NoReturn:
        raise _refusal(self.path, f"has a bad header at byte {self.at + 8}: {what}")

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, characters: str) -> str:
        """The next non-space character, which must be one of these."""
        self.skip()
        found = self.text[self.at : self.at + 1]
        if not found or found not in characters:
            self.fail(f"expected one of {characters!r}, found {found!r}")
        self.at += 1
        return found

    def string(self, max_length: int) -> str:
        self.take('"')
        start = self.at
        try:
            _, self.at = decoder.scanstring(self.text, start)  # type: ignore[attr-defined]
        except ValueError:
            self.fail("malformed string")
        if self.at - start > max_length:
            self.fail(f"a string of {self.at - start} characters")
        try:
            body = self.text[start : self.at - 1].encode("latin-1").decode("utf-8")
            return body if "\\" not in body else str(json.loads(f'"{body}"'))
        except ValueError:
            self.fail("a string that is not UTF-8")

    def integers(self) -> tuple[int, ...]:
        self.skip()
        match = _INTEGERS.match(self.text, self.at)
        if match is None:
            self.fail("expected a list of at most eight non-negative integers")
        self.at = match.end()
        return tuple(map(int, _NUMBER.findall(match.group())))

    def scan(self) -> tuple[dict[str, TensorInfo], dict[str, str]]:
        tensors: dict[str, TensorInfo] = {}
        metadata: dict[str, str] | None = None
        self.take("{")
        for _ in self.members():
            key = self.string(_MAX_KEY_LENGTH)
            self.take(":")
            if key == "__metadata__":
                if metadata is not None:
                    self.fail("two __metadata__ objects")
                metadata = self.metadata()
                continue
            if key in tensors:
                self.fail(f"the key {key!r} twice")
            tensors[key] = self.tensor(key)
            if len(tensors) > _MAX_TENSORS:
                self.fail(f"more than {_MAX_TENSORS} tensors")
        self.skip()
        if self.at != len(self.text):
            self.fail("text after the end")
        return tensors, metadata or {}

    def members(self) -> Iterator[None]:
        """Step through the members of an object whose brace was taken; the caller reads one member per step."""
        self.skip()
        if self.text[self.at : self.at + 1] == "}":
            self.at += 1
            return
        yield
        while self.take(",}") == ",":
            yield

    def metadata(self) -> dict[str, str]:
        found: dict[str, str] = {}
        self.take("{")
        for _ in self.members():
            key = self.string(_MAX_KEY_LENGTH)
            self.take(":")
            if key in found:
                self.fail(f"the metadata key {key!r} twice")
            found[key] = self.string(MAX_HEADER_BYTES)
            if len(found) > _MAX_METADATA:
                self.fail(f"more than {_MAX_METADATA} metadata entries")
        return found

    def tensor(self, key: str) -> TensorInfo:
        usual = _USUAL_TENSOR.match(self.text, self.at)
        if usual is not None and usual[1] in DTYPE_BYTES:
            self.at = usual.end()
            shape = tuple(map(int, usual[2].split(","))) if usual[2] else ()
            return TensorInfo(sys.intern(usual[1]), shape, int(usual[3]), int(usual[4]))
        return self.unusual_tensor(key)

    def unusual_tensor(self, key: str) -> TensorInfo:
        """An entry with spaces, or its members in another order."""
        dtype: str | None = None
        shape: tuple[int, ...] | None = None
        offsets: tuple[int, ...] | None = None
        self.take("{")
        for _ in self.members():
            name = self.string(_MAX_KEY_LENGTH)
            self.take(":")
            if name == "dtype" and dtype is None:
                dtype = self.string(_MAX_KEY_LENGTH)
            elif name == "shape" and shape is None:
                shape = self.integers()
            elif name == "data_offsets" and offsets is None:
                offsets = self.integers()
            else:
                self.fail(f"{key!r} has an unknown or repeated entry {name!r}")
        if dtype is None or dtype not in DTYPE_BYTES:
            self.fail(f"{key!r} has dtype {dtype!r}")
        if shape is None or offsets is None or len(offsets) != 2:
            self.fail(f"{key!r} lacks a shape or a pair of offsets")
        return TensorInfo(dtype, shape, offsets[0], offsets[1])
