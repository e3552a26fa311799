"""Frames between server and worker: dataclass ↔ bytes, with every field checked on both sides.

A frame is `u32 length | u32 header length | header | blobs`, big-endian; `length` counts everything after itself. The
header is UTF-8 JSON `{"kind": class name, "fields": {…}, "blobs": [sizes]}`; a `bytes` field holds the number of its
blob. Whatever breaks this - truncation, sizes over the limits, unknown kinds, missing, unknown or ill-typed fields,
unused blobs - is a ProtocolError, and nothing on the wire can name code to run.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import threading
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, BinaryIO, Union, get_args, get_origin

from engine.core.errors import ProtocolError
from engine.protocol import messages
from engine.protocol.messages import Message

__all__ = [
    "MAX_FRAME_BYTES",
    "MAX_HEADER_BYTES",
    "MESSAGE_KINDS",
    "TO_SERVER",
    "TO_WORKER",
    "FrameReader",
    "FrameWriter",
    "decode",
    "encode",
    "read_message",
]

MAX_FRAME_BYTES = 512 << 20
MAX_HEADER_BYTES = 128 << 20
_MAX_INT = (1 << 63) - 1
_U32 = struct.Struct(">I")
_TO_JSON = json.JSONEncoder(separators=(",", ":")).encode

Blobs = list[bytes]
Pack = Callable[[Any, Blobs], Any]
Unpack = Callable[[Any, Blobs], Any]

MESSAGE_KINDS: Mapping[str, type[Message]] = types.MappingProxyType(
    {cls.__name__: cls for cls in vars(messages).values() if isinstance(cls, type) and cls.__base__ is Message}
)
"""Every message class by its name on the wire."""

TO_WORKER = frozenset(
    (
        "CallPack",
        "CancelJob",
        "CheckPrompt",
        "ForecastPrompt",
        "FreeMemory",
        "Lease",
        "OutputsPlaced",
        "Ping",
        "RefreshCatalog",
        "Shutdown",
        "Start",
    )
)
"""Kinds a worker accepts."""

TO_SERVER = frozenset(MESSAGE_KINDS) - TO_WORKER
"""Kinds a server accepts."""


# ------------------------------------------------------------------ one frame


def encode(message: Message) -> bytes:
    """The whole frame of a message, length prefix included. Raises ProtocolError for values JSON has no form for."""
    kind = type(message).__name__
    if MESSAGE_KINDS.get(kind) is not type(message):
        raise ProtocolError(f"{kind} is not a message.")
    blobs: Blobs = []
    body = _CODERS[type(message)].pack(message, blobs)
    record = {"kind": kind, "fields": body, "blobs": [len(blob) for blob in blobs]}
    try:
        header = _TO_JSON(record).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"A {kind} message holds a value JSON cannot carry: {error}.") from error
    length = _U32.size + len(header) + sum(map(len, blobs))
    if len(header) > MAX_HEADER_BYTES or length > MAX_FRAME_BYTES:
        raise ProtocolError(f"A {kind} message of {length} bytes is over the frame limit.")
    return b"".join((_U32.pack(length), _U32.pack(len(header)), header, *blobs))


def decode(payload: bytes, accept: Collection[str] = frozenset(MESSAGE_KINDS)) -> Message:
    """The message in a frame without its length prefix; `accept` names the kinds allowed here. Raises ProtocolError."""
    if len(payload) < _U32.size:
        raise ProtocolError("A frame ends before its header length.")
    (size,) = _U32.unpack_from(payload)
    start = _U32.size + size
    if size > MAX_HEADER_BYTES or start > len(payload):
        raise ProtocolError(f"A frame of {len(payload)} bytes claims a header of {size} bytes.")
    try:
        record = json.loads(payload[_U32.size : start])
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A frame header is not JSON.") from error
    if not isinstance(record, dict) or set(record) != {"kind", "fields", "blobs"}:
        raise ProtocolError("A frame header must hold exactly kind, fields and blobs.")
    kind = record["kind"]
    if not isinstance(kind, str) or kind not in MESSAGE_KINDS:
        raise ProtocolError(f"{str(kind)[:80]!r} is not a message kind.")
    if kind not in accept:
        raise ProtocolError(f"A {kind} message is not accepted on this side.")
    blobs = _split_blobs(payload, start, record["blobs"])
    used: Blobs = list(blobs)
    message = _CODERS[MESSAGE_KINDS[kind]].unpack(record["fields"], used)
    if any(blob is not _USED for blob in used):
        raise ProtocolError(f"A {kind} frame carries a blob that no field uses.")
    return typing.cast(Message, message)


def _split_blobs(payload: bytes, start: int, sizes: Any) -> Blobs:
    if not isinstance(sizes, list) or any(type(size) is not int or size < 0 for size in sizes):
        raise ProtocolError("The blob sizes of a frame must be a list of lengths.")
    if start + sum(sizes) != len(payload):
        raise ProtocolError("The blob sizes of a frame do not add up to its length.")
    blobs = []
    for size in sizes:
        blobs.append(payload[start : start + size])
        start += size
    return blobs


# ------------------------------------------------------------------ streams


class FrameReader:
    """Reads messages from a blocking stream. One thread at a time."""

    def __init__(self, stream: BinaryIO, accept: Collection[str] = frozenset(MESSAGE_KINDS)) -> None:
        self._stream = stream
        self._accept = accept

    def read(self) -> Message | None:
        """The next message, or None at the end of the stream. Raises ProtocolError, also for a truncated frame."""
        prefix = self._take(_U32.size)
        if not prefix:
            return None
        if len(prefix) < _U32.size:
            raise ProtocolError("The stream ended inside a frame.")
        length = _checked_length(prefix)
        payload = self._take(length)
        if len(payload) < length:
            raise ProtocolError("The stream ended inside a frame.")
        return decode(payload, self._accept)

    def _take(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._stream.read(min(size, 1 << 20))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class FrameWriter:
    """Writes messages to a blocking stream, whole frames at a time; any thread may call it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: Message) -> None:
        """Send a message. Raises ProtocolError for one that cannot travel, OSError when nobody listens."""
        frame = encode(message)
        with self._lock:
            self._stream.write(frame)
            self._stream.flush()


async def read_message(
    reader: asyncio.StreamReader, accept: Collection[str] = frozenset(MESSAGE_KINDS)
) -> Message | None:
    """The next message of an asyncio stream, or None at its end. Raises ProtocolError, also for a truncated frame."""
    try:
        length = _checked_length(await reader.readexactly(_U32.size))
        return decode(await reader.readexactly(length), accept)
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == _U32.size:
            return None
        raise ProtocolError("The stream ended inside a frame.") from error


def _checked_length(prefix: bytes) -> int:
    (length,) = _U32.unpack(prefix)
    if not _U32.size <= length <= MAX_FRAME_BYTES:
        raise ProtocolError(f"A frame claims a length of {length} bytes.")
    return int(length)


# ------------------------------------------------------------------ fields


class _Coder(typing.NamedTuple):
    pack: Pack
    unpack: Unpack


_USED = bytes(bytearray(b"used"))


def _dataclass_coder(cls: type) -> _Coder:
    hints = typing.get_type_hints(cls)
    coders = {item.name: _coder(hints[item.name], f"{cls.__name__}.{item.name}") for item in fields(cls)}
    names = set(coders)

    def pack(value: Any, blobs: Blobs) -> dict[str, Any]:
        if type(value) is not cls:
            raise ProtocolError(f"{type(value).__name__} stands where a {cls.__name__} belongs.")
        return {name: coder.pack(getattr(value, name), blobs) for name, coder in coders.items()}

    def unpack(value: Any, blobs: Blobs) -> Any:
        if not isinstance(value, dict):
            raise ProtocolError(f"The fields of {cls.__name__} must be an object.")
        if value.keys() != names:
            wrong = ", ".join(sorted(str(name)[:40] for name in value.keys() ^ names)[:10])
            raise ProtocolError(f"{cls.__name__} has missing or unknown fields: {wrong}.")
        return cls(**{name: coder.unpack(value[name], blobs) for name, coder in coders.items()})

    return _Coder(pack, unpack)


def _coder(hint: Any, where: str) -> _Coder:
    """The checks of one field, chosen by its annotation."""
    if is_dataclass(hint):
        return _dataclass_coder(typing.cast(type, hint))
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _optional_coder(next(arg for arg in args if arg is not type(None)), where)
    if origin is list:
        return _list_coder(args[0], where)
    if origin is dict:
        # Below a dict lies plain JSON (or strings); keys are strings because JSON has no others.
        return _plain_coder(dict, where) if args[1] is Any else _dict_coder(args[1], where)
    if hint is bytes:
        return _bytes_coder(where)
    if hint is float:
        return _Coder(lambda value, _: _float(value, where), lambda value, _: _float(value, where))
    if hint is int:
        return _Coder(lambda value, _: _int(value, where), lambda value, _: _int(value, where))
    return _plain_coder(hint, where)


def _plain_coder(kind: type, where: str) -> _Coder:
    def check(value: Any, _: Blobs) -> Any:
        if not isinstance(value, kind):
            raise ProtocolError(f"{where} must be {kind.__name__}, not {type(value).__name__}.")
        return value

    return _Coder(check, check)


def _optional_coder(hint: Any, where: str) -> _Coder:
    inner = _coder(hint, where)
    return _Coder(
        lambda value, blobs: None if value is None else inner.pack(value, blobs),
        lambda value, blobs: None if value is None else inner.unpack(value, blobs),
    )


def _list_coder(hint: Any, where: str) -> _Coder:
    inner = _coder(hint, f"{where}[]")

    def check(value: Any) -> Any:
        if not isinstance(value, list):
            raise ProtocolError(f"{where} must be list, not {type(value).__name__}.")
        return value

    return _Coder(
        lambda value, blobs: [inner.pack(item, blobs) for item in check(value)],
        lambda value, blobs: [inner.unpack(item, blobs) for item in check(value)],
    )


def _dict_coder(hint: Any, where: str) -> _Coder:
    inner, outer = _coder(hint, f"{where}[]"), _plain_coder(dict, where)
    return _Coder(
        lambda value, blobs: {key: inner.pack(item, blobs) for key, item in outer.pack(value, blobs).items()},
        lambda value, blobs: {key: inner.unpack(item, blobs) for key, item in outer.unpack(value, blobs).items()},
    )


def _bytes_coder(where: str) -> _Coder:
    def pack(value: Any, blobs: Blobs) -> int:
        if not isinstance(value, bytes):
            raise ProtocolError(f"{where} must be bytes, not {type(value).__name__}.")
        blobs.append(value)
        return len(blobs) - 1

    def unpack(value: Any, blobs: Blobs) -> bytes:
        if type(value) is not int or not 0 <= value < len(blobs) or blobs[value] is _USED:
            raise ProtocolError(f"{where} must be the number of a blob of its own.")
        blob, blobs[value] = blobs[value], _USED
        return blob

    return _Coder(pack, unpack)


def _int(value: Any, where: str) -> int:
    if type(value) is not int or not -_MAX_INT - 1 <= value <= _MAX_INT:
        raise ProtocolError(f"{where} must be a 64-bit integer.")
    return value


def _float(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise ProtocolError(f"{where} must be a number, not {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError as error:
        raise ProtocolError(f"{where} must be a finite number.") from error
    if not math.isfinite(number):
        raise ProtocolError(f"{where} must be a finite number.")
    return number


_CODERS: Mapping[type, _Coder] = types.MappingProxyType({cls: _dataclass_coder(cls) for cls in MESSAGE_KINDS.values()})
