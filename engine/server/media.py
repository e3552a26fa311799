"""What a file is, by its content: the only types shown inline; and pictures measured before anything decodes them."""

from __future__ import annotations

__all__ = ["INLINE_TYPES", "sniff"]

INLINE_TYPES = frozenset(
    {
        "image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "video/mp4", "video/webm", "audio/wav",
        "audio/mpeg", "audio/flac", "audio/ogg",
    }
)  # fmt: skip
"""Types a browser may show in place; none of them can run script. Everything else is a download."""

_PREFIXES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_RIFF_KINDS = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MP4_BRANDS = frozenset(
    (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"M4A ", b"dash")
)


def sniff(head: bytes) -> str | None:
    """The inline type that a file starting with `head` (16 bytes or more) has, or None."""
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF_KINDS.get(head[8:12])
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "image/avif"
        return "video/mp4" if brand in _MP4_BRANDS else None
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # MPEG audio frame, layer III
        return "audio/mpeg"
    return None
