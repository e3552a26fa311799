"""What a node raised → the error its user sees: which node, which inputs, which lines."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.core.errors import AtelierError, Cancelled, NodeError, OutOfMemory
from engine.core.ids import NodeId
from engine.memory.device import is_out_of_memory

__all__ = ["describe_value", "exception_name", "is_failed_allocation", "node_failure"]

_MAX_TEXT = 2000
_OWN_FOLDER = str(Path(__file__).parent)


def node_failure(
    error: BaseException, *, node: NodeId, node_type: str, title: str, calls: Sequence[Mapping[str, Any]]
) -> AtelierError:
    """The error of a node, with code, sentence and hint of an AtelierError if it raised one.

    `details` hold {node_type, title, exception_type, exception_message, traceback, current_inputs}. Out of memory, in
    all the forms it takes, becomes OutOfMemory; Cancelled stays Cancelled.
    """
    if isinstance(error, Cancelled):
        return Cancelled(error.message, node=node)
    label = f"{node_type} (node {node})"
    failure: AtelierError
    if isinstance(error, AtelierError):
        failure = NodeError(error.message, code=error.code, hint=error.hint, node=node, input=error.input)
    elif is_out_of_memory(error):
        failure = OutOfMemory(
            f"{label} ran out of memory: {_short(_text(error))}",
            hint="Use a smaller picture or batch, or give more memory with --max-vram or --max-ram.",
            node=node,
        )
    else:
        failure = NodeError(f"{label} failed: {exception_name(error)}: {_short(_text(error))}", node=node)
    failure.details = {
        **(_plain(error.details) if isinstance(error, AtelierError) else {}),
        "node_type": node_type,
        "title": title or node_type,
        "exception_type": exception_name(error),
        "exception_message": error.message if isinstance(error, AtelierError) else _text(error),
        "traceback": _traceback(error),
        "current_inputs": _current_inputs(calls),
    }
    failure.__cause__ = error
    return failure


def is_failed_allocation(error: AtelierError) -> bool:
    """Whether memory ran out as the node ran; not so where a plan said beforehand that it would not fit."""
    return error.code == OutOfMemory.code and "needed_bytes" not in error.details


def exception_name(error: BaseException) -> str:
    """The class name, with its module unless it is a built-in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _traceback(error: BaseException) -> list[str]:
    """Formatted frames, outermost first, from the node's own code on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = 0
    while own < len(frames) and frames[own].filename.startswith(_OWN_FOLDER):
        own += 1
    return traceback.format_list(frames[own:] or frames)


def _current_inputs(calls: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    inputs: dict[str, list[Any]] = {}
    for call in calls[:16]:
        for name, value in call.items():
            inputs.setdefault(name, []).append(describe_value(value))
    return inputs


def describe_value(value: Any) -> Any:
    """A value as an error report shows it: plain JSON scalars as they are, everything else as a short text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, torch.Tensor):
        return f"Tensor {list(value.shape)} {str(value.dtype).removeprefix('torch.')} on {value.device}"
    if isinstance(value, Mapping):
        return _short(
            "{" + ", ".join(f"{key!r}: {describe_value(item)}" for key, item in list(value.items())[:16]) + "}"
        )
    if isinstance(value, (list, tuple)):
        return _short("[" + ", ".join(str(describe_value(item)) for item in value[:16]) + "]")
    return _short(_text(value))


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the text form of a pack's object may itself fail, and this is a report of failure
        return f"<{type(value).__name__}>"


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details as they can travel: what JSON has no form for becomes text."""
    plain = {}
    for key, value in details.items():
        try:
            plain[str(key)] = json.loads(json.dumps(value))
        except (TypeError, ValueError, RecursionError):
            plain[str(key)] = _short(_text(value))
    return plain


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)} characters)"
