"""Text metadata of picture files: PNG, APNG, WebP, JPEG. Reads structure only, never pixels; every size is bounded."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from engine.core.errors import GraphError

__all__ = ["MAX_TEXT_BYTES", "jpeg_texts", "png_texts", "webp_texts"]

MAX_TEXT_BYTES = 64 << 20
_MAX_CHUNKS = 200_000
_MAX_TAGS = 1000
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_COMMENT_KEY = "parameters"
"""What programs of this field write as an EXIF comment is the plain text that PNG files hold under this key."""

_BYTE_KINDS = (2, 7)
"""ASCII and undefined: values of bytes, of which up to four are in the entry itself."""

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
    """Texts of the EXIF chunk of a WebP, written as `key:json` in ASCII tags or as user comment ("parameters")."""
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
    """Texts of the EXIF segment of a JPEG, written as `key:json` in ASCII tags or as user comment ("parameters")."""
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
    """`key:json` texts among the ASCII tags of a TIFF structure's first directory, and its user comment."""
    if data.startswith(b"Exif\0\0"):
        data = data[6:]
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None:
        return {}

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    def tags(start: int) -> Iterator[tuple[int, int, int, int]]:
        """(tag, kind, count, place of the value) of a directory's entries."""
        for index in range(min(number(start, 2), _MAX_TAGS)):
            entry = start + 2 + 12 * index
            count = number(entry + 4, 4)
            kind = number(entry + 2, 2)
            is_inside = count <= 4 and kind in _BYTE_KINDS
            # Of a number, as the place of another directory is, the "place" is the number itself.
            yield number(entry, 2), kind, count, entry + 8 if is_inside else number(entry + 8, 4)

    texts: dict[str, str] = {}
    for tag, kind, count, at in tags(number(4, 4)):
        if tag == _EXIF_IFD:
            comments = [
                _comment_text(data[at : at + size]) for inner, _, size, at in tags(at) if inner == _USER_COMMENT
            ]
            if any(comments):
                texts[_COMMENT_KEY] = next(filter(None, comments))
        elif kind in _BYTE_KINDS:
            tagged = _TAGGED.match(text := _text(data[at : at + count].rstrip(b"\0")))
            if tagged:
                texts.setdefault(tagged.group(1), text[tagged.end() :])
    return texts


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _comment_text(raw: bytes) -> str:
    """A user comment: eight bytes name its characters. Writers disagree about the byte order of the wide ones."""
    charset, body = raw[:8], raw[8:]
    if charset == b"UNICODE\0":
        order = "utf-16-le" if body[1:2] == b"\0" else "utf-16-be"
        return body.decode(order, "replace").strip("\0\ufeff")
    return _text(body.strip(b"\0")) if charset in (b"ASCII\0\0\0", b"\0" * 8) else ""
