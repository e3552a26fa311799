"""How results and errors look on the native API."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.core.errors import (
    AtelierError,
    ConflictError,
    ContainmentError,
    GraphError,
    NotFoundError,
    SettingsError,
    UploadRefused,
)
from engine.server.failures import (
    DownloadRefused,
    GraphRefused,
    MediaTooLarge,
    NotReady,
    PreconditionFailed,
    StorageFailed,
)

__all__ = ["JSON_TYPE", "error_reply", "json_reply", "status_of"]

JSON_TYPE = "application/json"
_log = logging.getLogger(__name__)
_STATUS_BY_CODE = {"upload_too_large": 413, "json_too_large": 413, "body_too_slow": 408, "not_json": 415}
_STATUS_BY_TYPE: tuple[tuple[type[AtelierError], int], ...] = (
    (GraphRefused, 422),
    (NotReady, 503),
    (PreconditionFailed, 412),
    (MediaTooLarge, 413),
    (StorageFailed, 507),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UploadRefused, 422),
    (DownloadRefused, 422),
    (ContainmentError, 400),
    (GraphError, 400),
    (SettingsError, 400),
)


def status_of(error: AtelierError) -> int:
    """The HTTP status of an error."""
    if error.code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[error.code]
    return next((status for kind, status in _STATUS_BY_TYPE if isinstance(error, kind)), 500)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response; NaN and infinities, which JSON lacks, become null."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type=JSON_TYPE, headers=headers)


def error_reply(error: AtelierError) -> web.Response:
    """An error as the native API shows it: {"error": {code, message, hint?, node?, input?, details?}}."""
    status = status_of(error)
    if status == 500:
        _log.error("A request failed: %s", error, exc_info=error)
    headers = {"Retry-After": "2"} if status == 503 else None
    return json_reply({"error": error.to_json()}, status, headers)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
