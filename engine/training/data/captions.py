"""Captions beside pictures: a text file of the same name, or one JSON-lines file for the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core.containment import check_relative_name
from engine.core.errors import ContainmentError
from engine.training.data.reports import DataReports, Problem, UnreadableItem

__all__ = ["CAPTION_LISTS", "read_caption_file", "read_caption_list"]

CAPTION_LISTS = ("captions.jsonl", "metadata.jsonl")
"""Names of the JSON-lines files, in order of preference."""
_MAX_CAPTION_BYTES = 1 << 20


def read_caption_file(path: Path, name: str) -> tuple[str, ...]:
    """The captions of a text file, one a line. Raises UnreadableItem when there is none or it is not UTF-8."""
    try:
        if path.stat().st_size > _MAX_CAPTION_BYTES:
            raise UnreadableItem(Problem("missing_caption", name, "the caption file is larger than 1 MiB"))
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UnreadableItem(Problem("missing_caption", name, "there is no caption file")) from error
    except OSError as error:
        raise UnreadableItem(Problem("missing_caption", name, f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UnreadableItem(Problem("missing_caption", name, f"is not UTF-8: byte {error.start}")) from error
    texts = tuple(line for line in map(str.strip, text.splitlines()) if line)
    if not texts:
        raise UnreadableItem(Problem("missing_caption", name, "the caption is empty"))
    return texts


def read_caption_list(path: Path, name: str, reports: DataReports) -> Mapping[str, tuple[str, ...]]:
    """Captions by picture name, from lines {"file_name": …, "text": … or [… , …]}.

    Names are relative to the file's folder. A line that cannot be used is reported and left out.
    """
    lines: dict[str, tuple[str, ...]] = {}
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                file_name, texts = _line(raw)
            except (ValueError, RecursionError, ContainmentError) as error:
                reports.add(Problem("corrupt_caption_file", f"{name}:{number}", str(error)))
                continue
            lines[file_name] = texts
    return lines


def _line(raw: bytes) -> tuple[str, tuple[str, ...]]:
    record = json.loads(raw.decode("utf-8-sig"))
    if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
        raise ValueError('a line must be an object with a "file_name"')
    return check_relative_name(record["file_name"]), _texts(record.get("text"))


def _texts(value: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError('"text" must be a text or a list of texts')
    kept = tuple(text.strip() for text in texts if text.strip())
    if not kept:
        raise ValueError('"text" is empty')
    return kept
