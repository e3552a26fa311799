"""The prompt, the workflow and the plain text about a picture, in the places where programs look for them.

JSON uses Python's default separators and escapes everything beyond ASCII, so every container takes it as it is. The
plain text has the key `parameters` and may be in any script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["PARAMETERS", "metadata_entries", "picture_exif", "png_chunks", "png_text"]

PARAMETERS = "parameters"
"""Key of the plain text."""

_EXIF_IFD = 0x8769
_EXIF_USER_COMMENT = 0x9286
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
    """Private `comf` chunks after the pixels, key NUL text in Latin-1: the form of animated PNG files.

    The plain text is a text chunk, as in other PNG files.
    """
    info = PngInfo()
    for key, text in entries:
        if key == PARAMETERS:
            info.add_text(key, text)
            continue
        info.add(b"comf", key.encode("latin-1") + b"\0" + text.encode("latin-1"), after_idat=True)
    return info


def picture_exif(entries: tuple[tuple[str, str], ...]) -> Image.Exif:
    """EXIF of WebP and JPEG files: tags that hold `key:json`, and the plain text as user comment.

    The prompt is in Model; Make, then the tags below it, are for the others.
    """
    exif = Image.Exif()
    tag = _EXIF_MAKE
    for key, text in entries:
        if key == PARAMETERS:
            exif.get_ifd(_EXIF_IFD)[_EXIF_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
        elif key == "prompt":
            exif[_EXIF_MODEL] = f"{key}:{text}"
        else:
            exif[tag] = f"{key}:{text}"
            tag -= 1
    return exif
