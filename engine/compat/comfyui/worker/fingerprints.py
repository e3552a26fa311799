"""Results of change hooks (IS_CHANGED, fingerprint_inputs) → JSON values that can enter a content address."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from engine.compat.comfyui.worker.running import finish

__all__ = ["NEVER_EQUAL", "fingerprint_of"]

_LOG = logging.getLogger(__name__)
NEVER_EQUAL = math.nan
"""A fingerprint that differs from every other one: the node always runs."""


def fingerprint_of(hook: Callable[..., Any], arguments: Mapping[str, Any], owner: str) -> Any:
    """Call the hook and make its result comparable across processes.

    NaN, exceptions, and objects that only equal themselves give `NEVER_EQUAL`, as they do in memory.
    """
    try:
        value = finish(hook(**arguments))
    except Exception as error:  # noqa: BLE001 - a failing hook means "changed", and is logged
        _LOG.warning(
            "the change hook of %s failed, so the node runs every time: %s: %s", owner, type(error).__name__, error
        )
        return NEVER_EQUAL
    try:
        return _comparable(value, 0)
    except TypeError:
        return NEVER_EQUAL


def _comparable(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            raise TypeError("NaN never equals itself")
        return value
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value).hex()}
    if depth > 20:
        raise TypeError("nested too deeply")
    if isinstance(value, (list, tuple)):
        return [_comparable(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_comparable(item, depth + 1) for item in value), key=repr)
    if isinstance(value, Mapping):
        return {str(key): _comparable(item, depth + 1) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no comparable form")
