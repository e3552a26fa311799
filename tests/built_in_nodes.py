"""The built-in nodes, without a worker."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

import nodes
from engine.api import NodeDefinition
from engine.graph.schema import Catalog

__all__ = ["built_in_catalog", "built_in_nodes"]


@cache
def built_in_nodes() -> Mapping[str, NodeDefinition]:
    """Every built-in node by its name."""
    found = {}
    for module in pkgutil.iter_modules(nodes.__path__, "nodes."):
        for value in vars(importlib.import_module(module.name)).values():
            definition = getattr(value, "__node__", None)
            if isinstance(definition, NodeDefinition):
                found[definition.spec.name] = definition
    return found


@cache
def built_in_catalog() -> Catalog:
    """Their specs."""
    return Catalog({name: definition.spec for name, definition in built_in_nodes().items()})
