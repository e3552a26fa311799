"""Binary socket frames (big-endian): previews and lines of text."""

from __future__ import annotations

import json
import struct

from engine.server.feed import PreviewPicture

__all__ = ["metadata_preview_frame", "preview_frame", "text_frame"]

_PREVIEW, _TEXT, _METADATA_PREVIEW = 1, 3, 4
_FORMATS = {"image/jpeg": 1, "image/png": 2}


def preview_frame(picture: PreviewPicture) -> bytes:
    """Event 1: format code, then the image file."""
    return struct.pack(">II", _PREVIEW, _FORMATS.get(picture.media_type, 1)) + picture.data


def metadata_preview_frame(picture: PreviewPicture) -> bytes:
    """Event 4: length and JSON of where the picture comes from, then the image file."""
    facts = {
        "node_id": picture.node,
        "prompt_id": picture.job,
        "display_node_id": picture.display,
        "parent_node_id": picture.parent,
        "real_node_id": picture.real,
        "image_type": picture.media_type,
    }
    text = json.dumps(facts).encode()
    return struct.pack(">II", _METADATA_PREVIEW, len(text)) + text + picture.data


def text_frame(node: str, text: str) -> bytes:
    """Event 3: length and node id, then the text."""
    name = node.encode("utf-8", "replace")
    return struct.pack(">II", _TEXT, len(name)) + name + text.encode("utf-8", "replace")
