"""Text metadata of sound, video, mesh and weight files. Reads structure only; every loop and size is bounded."""

from __future__ import annotations

from typing import Any

from engine.graph.json_text import load_json

__all__ = [
    "flac_texts",
    "glb_texts",
    "is_safetensors",
    "matroska_texts",
    "mp3_texts",
    "mp4_texts",
    "ogg_texts",
    "safetensors_texts",
]

_MAX_HEADER_BYTES = 64 << 20
_MAX_PARTS = 100_000
_MP4_CONTAINERS = (b"moov", b"udta", b"meta", b"ilst")
_MATROSKA_CONTAINERS = (0x18538067, 0x1254C367, 0x7373)
_SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x67C8, 0x45A3, 0x4487


def is_safetensors(data: bytes) -> bool:
    """Whether the bytes begin like a safetensors file (also `.latent`): header length, then a JSON object."""
    size = int.from_bytes(data[:8], "little")
    return len(data) > 10 and data[8:9] == b"{" and 2 <= size <= min(_MAX_HEADER_BYTES, len(data) - 8)


def safetensors_texts(data: bytes) -> dict[str, str]:
    """The `__metadata__` texts of a safetensors file. Raises GraphError for a damaged header."""
    header = load_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return _texts(header.get("__metadata__") if isinstance(header, dict) else None)


def glb_texts(data: bytes) -> dict[str, str]:
    """The texts of `asset.extras` of a binary glTF file. Raises GraphError for a damaged JSON chunk."""
    size = int.from_bytes(data[12:16], "little")
    if data[16:20] != b"JSON" or size > _MAX_HEADER_BYTES:
        return {}
    scene = load_json(data[20 : 20 + size])
    asset = scene.get("asset") if isinstance(scene, dict) else None
    return _texts(asset.get("extras") if isinstance(asset, dict) else None)


def _texts(record: Any) -> dict[str, str]:
    if not isinstance(record, dict):
        return {}
    return {key: value for key, value in record.items() if isinstance(value, str)}


def flac_texts(data: bytes) -> dict[str, str]:
    """The Vorbis comments of a FLAC file, keys in lower case."""
    position = 4
    for _ in range(_MAX_PARTS):
        head = data[position : position + 4]
        if len(head) < 4:
            break
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            return _vorbis_comments(data[position + 4 : position + 4 + size])
        if head[0] & 0x80:
            break
        position += 4 + size
    return {}


def ogg_texts(data: bytes) -> dict[str, str]:
    """The comments of an Ogg file (Opus or Vorbis), keys in lower case."""
    position, packets, packet = 0, 0, bytearray()
    for _ in range(_MAX_PARTS):
        if data[position : position + 4] != b"OggS" or len(data) < position + 27:
            break
        num_segments = data[position + 26]
        sizes = data[position + 27 : position + 27 + num_segments]
        at = position + 27 + num_segments
        for size in sizes:
            packet += data[at : at + size]
            at += size
            if size == 255 and len(packet) < _MAX_HEADER_BYTES:
                continue
            packets += 1
            if packets == 2:
                for mark in (b"OpusTags", b"\x03vorbis"):
                    if packet.startswith(mark):
                        return _vorbis_comments(bytes(packet[len(mark) :]))
                return {}
            packet.clear()
        position = at
    return {}


def _vorbis_comments(block: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    position = 4 + int.from_bytes(block[:4], "little")
    count = int.from_bytes(block[position : position + 4], "little")
    position += 4
    for _ in range(min(count, _MAX_PARTS)):
        size = int.from_bytes(block[position : position + 4], "little")
        entry = block[position + 4 : position + 4 + size]
        if len(entry) < size or position + 4 > len(block):
            break
        key, separator, value = entry.partition(b"=")
        if separator:
            texts.setdefault(key.decode("latin-1").lower(), value.decode("utf-8", "replace"))
        position += 4 + size
    return texts


def mp3_texts(data: bytes) -> dict[str, str]:
    """The TXXX frames of an ID3v2.3 or v2.4 tag, keys in lower case."""
    version = data[3] if len(data) > 10 else 0
    if version not in (3, 4):
        return {}
    end = min(10 + _syncsafe(data[6:10]), len(data))
    texts: dict[str, str] = {}
    position = 10
    for _ in range(_MAX_PARTS):
        head = data[position : position + 10]
        if position + 10 > end or not head[0]:
            break
        size = _syncsafe(head[4:8]) if version == 4 else int.from_bytes(head[4:8], "big")
        body = data[position + 10 : min(position + 10 + size, end)]
        if head[:4] == b"TXXX" and body:
            encoding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(body[0], "latin-1")
            key, _, value = body[1:].decode(encoding, "replace").partition("\0")
            texts.setdefault(key.lower(), value.strip("\0\ufeff"))
        position += 10 + size
    return texts


def _syncsafe(raw: bytes) -> int:
    number = 0
    for byte in raw:
        number = number << 7 | byte & 0x7F
    return number


def mp4_texts(data: bytes) -> dict[str, str]:
    """The `mdta` metadata of an MP4 or QuickTime file."""
    names: list[str] = []
    values: dict[int, str] = {}
    waiting = [(0, len(data), b"")]
    for _ in range(_MAX_PARTS):
        if not waiting:
            break
        position, end, parent = waiting.pop()
        size, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        start = position + 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), position + 16
        stop = end if size == 0 else position + size
        if len(kind) < 4 or stop > end or stop < start:
            continue
        if stop + 8 <= end:
            waiting.append((stop, end, parent))
        if kind in _MP4_CONTAINERS:
            is_full = kind == b"meta" and data[start + 4 : start + 8] != b"hdlr"
            waiting.append((start + 4 if is_full else start, stop, kind))
        elif kind == b"keys":
            names = _mp4_keys(data[start:stop])
        elif parent == b"ilst":
            body = data[start:stop]
            if body[4:8] == b"data":
                values[int.from_bytes(kind, "big")] = body[16:].decode("utf-8", "replace")
    return {names[index - 1]: text for index, text in values.items() if 0 < index <= len(names)}


def _mp4_keys(body: bytes) -> list[str]:
    names: list[str] = []
    position = 8
    for _ in range(min(int.from_bytes(body[4:8], "big"), _MAX_PARTS)):
        size = int.from_bytes(body[position : position + 4], "big")
        if size < 8:
            break
        names.append(body[position + 8 : position + size].decode("utf-8", "replace"))
        position += size
    return names


def matroska_texts(data: bytes) -> dict[str, str]:
    """The simple tags of a WebM or Matroska file, names in lower case."""
    texts: dict[str, str] = {}
    waiting = [(0, len(data), "")]
    for _ in range(_MAX_PARTS):
        if not waiting:
            break
        position, end, name = waiting.pop()
        element, size, start = _ebml_head(data, position)
        if element is None:
            continue
        stop = end if size is None else start + size
        if stop > end:
            continue
        if element == _TAG_NAME:
            name = data[start:stop].decode("utf-8", "replace").lower()
        elif element == _TAG_STRING and name:
            texts.setdefault(name, data[start:stop].decode("utf-8", "replace"))
        if stop < end:
            waiting.append((stop, end, name))
        if element in _MATROSKA_CONTAINERS or element == _SIMPLE_TAG:
            waiting.append((start, stop, ""))
    return texts


def _ebml_head(data: bytes, position: int) -> tuple[int | None, int | None, int]:
    """(id, size or None when unknown, start of the body) of the element at `position`; id None at a damaged one."""
    first = data[position] if position < len(data) else 0
    id_size = 9 - first.bit_length()
    at = position + id_size
    mark = data[at] if at < len(data) else 0
    size_length = 9 - mark.bit_length()
    raw = data[at : at + size_length]
    if not first or not mark or id_size > 4 or len(raw) < size_length:
        return None, None, position
    size = int.from_bytes(raw, "big") & ((1 << (7 * size_length)) - 1)
    is_unknown = size == (1 << (7 * size_length)) - 1
    return int.from_bytes(data[position:at], "big"), None if is_unknown else size, at + size_length
