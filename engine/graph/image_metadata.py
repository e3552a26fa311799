"""Text metadata of picture files: PNG, APNG, WebP, JPEG. Reads structure only, never pixels; every size is bounded."""

from __future__ import annotations

import re
import zlib

from engine.core.errors import GraphError

__all__ = ["MAX_TEXT_BYTES", "jpeg_texts", "png_texts", "webp_texts"]

MAX_TEXT_BYTES = 64 << 20
_MAX_CHUNKS = 200_000
_MAX_TAGS = 1000
_TAGGED = re.compile(r"(\w{1,100}):(?=[\[{\"])")


def png_texts(data: bytes) -> dict[str, str]:
    """Texts by keyword of a PNG or APNG: tEXt, zTXt, iTXt, and the private `comf` chunk (key, NUL, Latin-1 JSON).

    Compressed text is unpacked up to `MAX_TEXT_BYTES` in all. Raises GraphError (code "metadata_too_large") beyond it.
    """
    texts: dict[str, str] = {}
    position, budget = 8, MAX_TEXT_BYTES
    for _ in range(_MAX_CHUNKS):
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if len(kind) < 4 or kind == b"IEND" or position + 8 + size > len(data):
            break
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            key, separator, body = data[position + 8 : position + 8 + size].partition(b"\0")
            text = _png_text(kind, body, budget) if separator else None
            if text is not None:
                budget -= len(text)
                texts.setdefault(key.decode("latin-1"), text)
        position += 12 + size
    return texts


def _png_text(kind: bytes, body: bytes, budget: int) -> str | None:
    """The text of one chunk after its keyword; None when it is damaged."""
    if kind == b"iTXt":
        flags, rest = body[:2], body[2:]
        _, _, rest = rest.partition(b"\0")
        _, _, packed = rest.partition(b"\0")
        raw = _unpack(packed, budget) if flags[:1] == b"\1" else packed
        return None if raw is None else raw.decode("utf-8", "replace")
    raw = _unpack(body[1:], budget) if kind == b"zTXt" else body
    return None if raw is None else raw.decode("latin-1")


def _unpack(packed: bytes, budget: int) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, budget + 1)
    except zlib.error:
        return None
    if len(raw) > budget:
        raise GraphError(f"The file's metadata unpacks to more than {MAX_TEXT_BYTES} bytes.", code="metadata_too_large")
    return raw


def webp_texts(data: bytes) -> dict[str, str]:
    """Texts of the EXIF chunk of a WebP, written as `key:json` in ASCII tags."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        kind, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if len(kind) < 4:
            break
        if kind == b"EXIF":
            return _exif_texts(data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return {}


def jpeg_texts(data: bytes) -> dict[str, str]:
    """Texts of the EXIF segment of a JPEG, written as `key:json` in ASCII tags."""
    position = 2
    for _ in range(_MAX_CHUNKS):
        if data[position : position + 1] != b"\xff" or data[position + 1 : position + 2] in (b"\xda", b"\xd9", b""):
            break
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + size]
        if data[position + 1] == 0xE1 and body.startswith(b"Exif\0\0"):
            return _exif_texts(body)
        position += 2 + max(size, 2)
    return {}


def _exif_texts(data: bytes) -> dict[str, str]:
    """`key:json` texts among the ASCII tags of the first directory of a TIFF structure."""
    if data.startswith(b"Exif\0\0"):
        data = data[6:]
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None:
        return {}

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    texts: dict[str, str] = {}
    start = number(4, 4)
    for index in range(min(number(start, 2), _MAX_TAGS)):
        entry = start + 2 + 12 * index
        kind, count = number(entry + 2, 2), number(entry + 4, 4)
        if kind not in (2, 7):
            continue
        at = entry + 8 if count <= 4 else number(entry + 8, 4)
        raw = data[at : at + count].rstrip(b"\0")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        tagged = _TAGGED.match(text)
        if tagged:
            texts.setdefault(tagged.group(1), text[tagged.end() :])
    return texts
