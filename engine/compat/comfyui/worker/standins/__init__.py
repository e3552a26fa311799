"""The stand-in modules by the names packs import, built for one host."""

from __future__ import annotations

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins import (
    command_line,
    conditioning,
    devices,
    execution_names,
    folder_paths,
    node_classes,
    prompt_server,
    schema_api,
    weights_and_images,
)
from engine.compat.comfyui.worker.standins.module import StandIn

__all__ = ["build_modules"]


def build_modules(host: Host) -> dict[str, StandIn]:
    """Every stand-in module, parents before children."""
    modules = execution_names.build(host)
    modules["folder_paths"] = folder_paths.build(host)
    modules["nodes"] = node_classes.build(host)
    modules["server"] = prompt_server.build(host)
    modules["node_helpers"] = conditioning.build(host)
    modules["comfy.utils"] = weights_and_images.build(host)
    modules["comfy.model_management"] = devices.build(host)
    modules["comfy.cli_args"] = command_line.build(host)
    modules.update(schema_api.build(host))
    return modules
