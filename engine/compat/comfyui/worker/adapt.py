"""A loaded pack → its node definitions."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from engine.api import NodeDefinition, NodeError
from engine.compat.comfyui.worker.classic import classic_definition, is_classic
from engine.compat.comfyui.worker.instances import InstancePool
from engine.compat.comfyui.worker.running import finish
from engine.compat.comfyui.worker.schema_form import is_schema_form, schema_definition

__all__ = ["adapt_class", "adapt_module", "describe_again"]

_LOG = logging.getLogger(__name__)


def adapt_module(
    module: ModuleType,
    pack_name: str,
    *,
    version: str = "",
    problems: list[str] | None = None,
    pool: InstancePool | None = None,
) -> list[NodeDefinition]:
    """Definitions of every node class the pack registers: NODE_CLASS_MAPPINGS, then `comfy_entrypoint`.

    A class that cannot be described is left out, logged, and named in `problems` when given; the others stay.
    `version` is the digest of the pack's source. `pool` keeps the pack's node objects (one pool per pack by default).
    """
    instances = pool or InstancePool()
    titles = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}
    mappings = getattr(module, "NODE_CLASS_MAPPINGS", None) or {}
    if not isinstance(mappings, Mapping):
        raise NodeError(f"NODE_CLASS_MAPPINGS of pack {pack_name} is no dictionary.", code="bad_node_class")
    found: dict[str, NodeDefinition] = {}
    for name, cls in list(mappings.items()):
        title = str(titles.get(name, "") or "")
        definition = _attempt(str(name), cls, pack_name, title, version, instances, problems)
        if definition is not None:
            found[definition.spec.name] = definition
    for cls in _entry_point_nodes(module, pack_name):
        definition = _attempt(None, cls, pack_name, "", version, instances, problems)
        if definition is not None:
            found[definition.spec.name] = definition
    return list(found.values())


def adapt_class(
    name: str, cls: Any, pack_name: str, *, title: str = "", version: str = "", pool: InstancePool | None = None
) -> NodeDefinition:
    """The definition of one node class of either form. Raises NodeError when it is neither, or is malformed."""
    module = f"custom_nodes.{pack_name}"
    if is_schema_form(cls):
        definition = schema_definition(cls, title=title, pack=pack_name, module=module, version=version)
        return definition if definition.spec.name == name else _renamed(definition, name)
    if is_classic(cls):
        return classic_definition(
            name, cls, title=title, pack=pack_name, module=module, version=version, pool=pool or InstancePool()
        )
    raise NodeError(
        f"{name} of pack {pack_name} is no node class.",
        code="bad_node_class",
        hint="A node class has INPUT_TYPES and FUNCTION, or derives from io.ComfyNode.",
    )


def describe_again(definition: NodeDefinition) -> NodeDefinition:
    """The definition with its declaration read anew (file lists may have changed); itself for native nodes.

    When the class fails to describe itself now, the old declaration stays and the failure is logged.
    """
    describe = definition.extra.get("describe")
    if describe is None:
        return definition
    try:
        return replace(definition, spec=describe())
    except Exception:  # noqa: BLE001 - code of a pack; the old declaration stays usable
        _LOG.warning("node %s cannot be described again:\n%s", definition.spec.name, traceback.format_exc())
        return definition


def _renamed(definition: NodeDefinition, name: str) -> NodeDefinition:
    describe: Callable[[], Any] = definition.extra["describe"]
    extra = {**definition.extra, "describe": lambda: replace(describe(), name=name)}
    return replace(definition, spec=replace(definition.spec, name=name), extra=extra)


def _attempt(
    name: str | None,
    cls: Any,
    pack_name: str,
    title: str,
    version: str,
    pool: InstancePool,
    problems: list[str] | None,
) -> NodeDefinition | None:
    """The definition, or None after reporting. `name` None: the class goes by the node id of its own schema."""
    shown = name or getattr(cls, "__name__", repr(cls))
    try:
        own = name or cls.GET_SCHEMA().node_id
        return adapt_class(own, cls, pack_name, title=title, version=version, pool=pool)
    except Exception as error:  # noqa: BLE001 - code of a pack; reported by name, the other nodes stay
        text = f"node {shown} of pack {pack_name} is left out: {type(error).__name__}: {error}"
        _LOG.warning("%s\n%s", text, traceback.format_exc())
        if problems is not None:
            problems.append(text)
        return None


def _entry_point_nodes(module: ModuleType, pack_name: str) -> list[type]:
    entry = getattr(module, "comfy_entrypoint", None)
    if entry is None:
        return []
    extension = finish(entry())
    if not hasattr(extension, "get_node_list"):
        raise NodeError(
            f"comfy_entrypoint of pack {pack_name} returned {type(extension).__name__}, which lists no nodes.",
            code="bad_node_class",
            hint="It must return a ComfyExtension.",
        )
    if hasattr(extension, "on_load"):
        finish(extension.on_load())
    return list(finish(extension.get_node_list()))
