"""Identifiers as distinct types, and the functions that mint them."""

from __future__ import annotations

import uuid
from typing import NewType

__all__ = [
    "Address",
    "AssetId",
    "ClientId",
    "JobId",
    "NodeId",
    "WorkerId",
    "new_asset_id",
    "new_client_id",
    "new_job_id",
]

JobId = NewType("JobId", str)
NodeId = NewType("NodeId", str)
WorkerId = NewType("WorkerId", str)
AssetId = NewType("AssetId", str)
ClientId = NewType("ClientId", str)
Address = NewType("Address", str)
"""Content address of a node's outputs: equal address, equal value."""


def new_job_id() -> JobId:
    """A random UUID in canonical lower-case form (what ComfyUI calls prompt_id)."""
    return JobId(str(uuid.uuid4()))


def new_asset_id() -> AssetId:
    """A random UUID for a user-visible file."""
    return AssetId(str(uuid.uuid4()))


def new_client_id() -> ClientId:
    """32 hex digits, the form ComfyUI's socket hands out."""
    return ClientId(uuid.uuid4().hex)
