"""`comfy_api.latest`: the modules of the schema form."""

from __future__ import annotations

from typing import Any

from engine.compat.comfyui.worker import schema_types
from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.node_output import NodeOutput
from engine.compat.comfyui.worker.schema_node import ComfyExtension, ComfyNode, HiddenValues, Schema
from engine.compat.comfyui.worker.standins.module import StandIn
from engine.compat.comfyui.worker.standins.schema_ui import build_ui

__all__ = ["build"]

_EXPORTED = (
    "AnyType", "Boolean", "Combo", "ComfyTypeIO", "ControlAfterGenerate", "Custom", "Float", "FolderType", "Hidden",
    "Input", "Int", "MultiCombo", "MultiType", "NumberDisplay", "Output", "RemoteOptions", "String", "UploadType",
    "comfytype",
)  # fmt: skip


def build(host: Host) -> dict[str, StandIn]:
    """`comfy_api`, `comfy_api.latest` and its `io` and `ui`."""
    sockets = {name: schema_types.socket_class(name, kind) for name, kind in schema_types.SOCKET_TYPES.items()}
    names: dict[str, Any] = {name: getattr(schema_types, name) for name in _EXPORTED}
    names.update(sockets, ComfyNode=ComfyNode, NodeOutput=NodeOutput, Schema=Schema, HiddenHolder=HiddenValues)
    io = StandIn("comfy_api.latest.io", **names)
    ui = build_ui(host)
    latest = StandIn("comfy_api.latest", is_package=True, io=io, ui=ui, IO=io, UI=ui, ComfyExtension=ComfyExtension)
    package = StandIn("comfy_api", is_package=True, latest=latest)
    return {
        "comfy_api": package,
        "comfy_api.latest": latest,
        "comfy_api.latest.io": io,
        "comfy_api.latest.ui": ui,
    }
