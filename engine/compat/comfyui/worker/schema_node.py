"""`io.ComfyNode`, `io.Schema`, `ComfyExtension`: the schema form of node declarations."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.compat.comfyui.worker.node_output import NodeOutput
from engine.compat.comfyui.worker.schema_types import Hidden, Input, Output

__all__ = ["ComfyExtension", "ComfyNode", "HiddenValues", "Schema"]


@dataclass
class Schema:
    """What a schema-form node declares."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: Sequence[Hidden] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    search_aliases: Sequence[str] = field(default_factory=list)
    essentials_category: str | None = None
    has_intermediate_output: bool = False
    price_badge: Any = None


@dataclass(frozen=True)
class HiddenValues:
    """Hidden values of one call; those not declared are None."""

    unique_id: Any = None
    prompt: Any = None
    extra_pnginfo: Any = None
    dynprompt: Any = None
    auth_token_comfy_org: Any = None
    api_key_comfy_org: Any = None


class ComfyNode:
    """Base class of schema-form nodes; all hooks are class methods."""

    hidden: HiddenValues = HiddenValues()

    @classmethod
    def define_schema(cls) -> Schema:
        """Declare the node."""
        raise NotImplementedError(f"{cls.__name__} has no define_schema")

    @classmethod
    def execute(cls, **kwargs: Any) -> NodeOutput:
        """Run the node."""
        raise NotImplementedError(f"{cls.__name__} has no execute")

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The declared schema, with reserved hidden inputs checked."""
        schema = cls.define_schema()
        if not isinstance(schema, Schema):
            raise TypeError(f"define_schema of {cls.__name__} returned {type(schema).__name__}, not a Schema")
        return schema

    @classmethod
    def has_hook(cls, name: str) -> bool:
        """Whether the class defines the hook `name`."""
        return callable(getattr(cls, name, None))

    @classmethod
    def is_async(cls) -> bool:
        """Whether execute is a coroutine function."""
        return inspect.iscoroutinefunction(cls.execute)


class ComfyExtension:
    """What a pack's `comfy_entrypoint` returns."""

    async def on_load(self) -> None:
        """Called once before the nodes are listed."""

    async def get_node_list(self) -> list[type[ComfyNode]]:
        """The pack's node classes."""
        raise NotImplementedError(f"{type(self).__name__} has no get_node_list")
