"""The named JSON schemas of the API description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.server.records import STATES

__all__ = ["SCHEMAS", "array_of", "ref"]


def ref(name: str) -> dict[str, str]:
    """A reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """An array schema."""
    return {"type": "array", "items": dict(item)}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_FLAG = {"type": "boolean"}
_ANY_OBJECT = {"type": "object"}
_TIME = {"type": ["number", "null"], "description": "Seconds since 1970 UTC."}
_NULLABLE_TEXT = {"type": ["string", "null"]}

SCHEMAS: Mapping[str, Any] = {
    "Error": _object(
        {
            "error": _object(
                {"code": _TEXT, "message": _TEXT},
                {"hint": _TEXT, "node": _TEXT, "input": _TEXT, "details": _ANY_OBJECT},
            )
        }
    ),
    "Complaint": _object(
        {"code": _TEXT, "message": _TEXT},
        {"node": _TEXT, "node_type": _TEXT, "title": _TEXT, "input": _TEXT, "got": {}, "wanted": {}, "remedy": _TEXT},
    ),
    "Job": _object(
        {
            "id": _TEXT,
            "state": {"type": "string", "enum": list(STATES)},
            "number": {"type": "number", "description": "Low runs first among jobs of one priority."},
            "priority": {"type": "integer", "description": "High runs first."},
            "client_id": _NULLABLE_TEXT,
            "targets": array_of(_TEXT),
            "alone": _FLAG,
            "attempts": _COUNT,
            "cancel_requested": _FLAG,
            "worker": _NULLABLE_TEXT,
            "created_s": _NUMBER,
            "started_s": _TIME,
            "finished_s": _TIME,
            "error": {"type": ["object", "null"]},
            "outputs": {"type": "object", "description": "UI output by node id."},
            "ran": array_of(_TEXT),
            "cached": array_of(_TEXT),
            "crashes": array_of(_ANY_OBJECT),
        },
        {
            "prompt": _ANY_OBJECT,
            "extra": _ANY_OBJECT,
            "stats": {
                "type": "object",
                "description": "Of an ended job: seconds, node_seconds, node_bytes, forwards, shared_forwards, memory.",
            },
        },
    ),
    "Submitted": _object(
        {
            "job": {"$ref": "#/components/schemas/Job"},
            "complaints": array_of({"$ref": "#/components/schemas/Complaint"}),
        }
    ),
    "JobPage": _object({"jobs": array_of({"$ref": "#/components/schemas/Job"}), "total": _COUNT}),
    "Reasons": _object({"ran": array_of(_TEXT), "cached": array_of(_TEXT), "reasons": _ANY_OBJECT}),
    "Event": _object({"job": _TEXT, "seq": _COUNT, "kind": _TEXT, "data": _ANY_OBJECT, "time_s": _NUMBER}),
    "Queue": _object({"pending": _COUNT, "running": _COUNT, "paused": _FLAG}),
    "Ids": _object({"jobs": array_of(_TEXT)}),
    "Asset": _object(
        {
            "id": _TEXT,
            "job": _TEXT,
            "node": _TEXT,
            "folder": _TEXT,
            "subfolder": _TEXT,
            "filename": _TEXT,
            "media_type": _TEXT,
            "size_bytes": _COUNT,
            "width_px": _COUNT,
            "height_px": _COUNT,
            "created_s": _NUMBER,
            "url": _TEXT,
        }
    ),
    "Origins": _object({"workflows": array_of(_TEXT), "models": array_of(_TEXT)}),
    "Uploaded": _object({"name": _TEXT, "subfolder": _TEXT, "type": _TEXT, "sha256": _TEXT, "size_bytes": _COUNT}),
    "Validation": _object(
        {
            "can_run": _FLAG,
            "targets": array_of(_TEXT),
            "complaints": array_of({"$ref": "#/components/schemas/Complaint"}),
            "num_nodes": _COUNT,
        }
    ),
    "Forecast": _object(
        {
            "can_run": _FLAG,
            "cached": array_of(_TEXT),
            "runs": array_of(_object({"node": _TEXT, "reason": _ANY_OBJECT, "seconds": {"type": ["number", "null"]}})),
            "seconds": {"type": ["number", "null"], "description": "In all; null when a node never ran here."},
        }
    ),
    "Workflow": _object({"name": _TEXT, "etag": _TEXT, "version": _COUNT, "size_bytes": _COUNT, "modified_s": _NUMBER}),
    "ModelFile": _object(
        {
            "folder": _TEXT,
            "name": _TEXT,
            "size_bytes": _COUNT,
            "modified_s": _NUMBER,
            "sha256": _TEXT,
            "has_picture": _FLAG,
        }
    ),
    "Offer": _object(
        {
            "folder": _TEXT,
            "name": _TEXT,
            "url": _TEXT,
            "host": _TEXT,
            "sha256": _TEXT,
            "size_bytes": _COUNT,
            "free_bytes": _COUNT,
        }
    ),
    "Download": _object(
        {
            "id": _TEXT,
            "folder": _TEXT,
            "name": _TEXT,
            "url": _TEXT,
            "host": _TEXT,
            "sha256": _TEXT,
            "size_bytes": _COUNT,
            "received_bytes": _COUNT,
            "state": {"type": "string", "enum": ["waiting", "running", "done", "failed", "stopped"]},
            "error": _TEXT,
        }
    ),
    "Health": _object({"status": {"type": "string", "enum": ["ok"]}}),
    "Ready": _object({"ready": _FLAG, "catalog": _FLAG, "workers": _COUNT}),
    "Stats": _object(
        {
            "system": _ANY_OBJECT,
            "devices": array_of(_ANY_OBJECT),
            "workers": array_of(_ANY_OBJECT),
            "queue": {"$ref": "#/components/schemas/Queue"},
            "uptime_s": _NUMBER,
        }
    ),
    "LogLine": _object({"time_s": _NUMBER, "text": _TEXT}),
}
