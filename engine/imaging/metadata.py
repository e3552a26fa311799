"""The prompt and workflow that travel inside saved files, in the places editors look for them.

JSON uses Python's default separators and escapes everything beyond ASCII, so every container takes it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["metadata_entries", "png_chunks", "png_text", "webp_exif"]

_EXIF_MODEL = 0x0110
_EXIF_MAKE = 0x010F


def metadata_entries(prompt: Any, extra: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """(key, JSON text) pairs: `prompt` first, then the keys of `extra` in order. None leaves a part out."""
    entries = [] if prompt is None else [("prompt", json.dumps(prompt))]
    entries += [(str(key), json.dumps(value)) for key, value in (extra or {}).items()]
    return tuple(entries)


def png_text(entries: tuple[tuple[str, str], ...]) -> PngInfo:
    """tEXt chunks before the pixels, one per entry."""
    info = PngInfo()
    for key, text in entries:
        info.add_text(key, text)
    return info


def png_chunks(entries: tuple[tuple[str, str], ...]) -> PngInfo:
    """Private `comf` chunks after the pixels, key NUL text in Latin-1: the form of animated PNG files."""
    info = PngInfo()
    for key, text in entries:
        info.add(b"comf", key.encode("latin-1") + b"\0" + text.encode("latin-1"), after_idat=True)
    return info


def webp_exif(entries: tuple[tuple[str, str], ...]) -> Image.Exif:
    """EXIF tags holding `key:json`: Model for the prompt; Make, then the tags below it, for the others."""
    exif = Image.Exif()
    tag = _EXIF_MAKE
    for key, text in entries:
        if key == "prompt":
            exif[_EXIF_MODEL] = f"{key}:{text}"
        else:
            exif[tag] = f"{key}:{text}"
            tag -= 1
    return exif
