"""Canonical value → content hash. The only place that decides how values become bytes for hashing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["canonical_json", "digest_bytes", "digest_file", "digest_value"]

_FILE_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8; NaN and infinities spelled as Python's json does.

    Raises TypeError for values JSON has no form for, RecursionError-free only for values that came out of a parser
    with bounded depth.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest_bytes(*parts: bytes) -> str:
    """BLAKE2b-160 of length-prefixed parts, as 40 hex digits."""
    state = hashlib.blake2b(digest_size=20)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def digest_value(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits (the digest model catalogues publish)."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_FILE_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()
