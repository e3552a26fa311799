"""`nodes`: the node table packs share, and built-in nodes as classes they can call and subclass."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from engine.api import MAX_DIMENSION, Blocker, NodeDefinition, NodeError, NodeResult
from engine.compat.comfyui.worker.host import Host, asking_pack
from engine.compat.comfyui.worker.running import running
from engine.compat.comfyui.worker.standins.image_savers import image_savers
from engine.compat.comfyui.worker.standins.interrupt import interrupt_current_processing
from engine.compat.comfyui.worker.standins.module import StandIn, not_emulated
from engine.graph.schema import FileChoices, InputSpec, NodeSpec

__all__ = ["NodeTable", "build", "facade", "find_definition"]

_METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CLIPTextEncode": ("encode", ("clip", "text")),
    "CLIPSetLastLayer": ("set_last_layer", ("clip", "stop_at_clip_layer")),
    "CheckpointLoaderSimple": ("load_checkpoint", ("ckpt_name",)),
    "ConditioningAverage": ("addWeighted", ("conditioning_to", "conditioning_from", "conditioning_to_strength")),
    "ConditioningCombine": ("combine", ("conditioning_1", "conditioning_2")),
    "ConditioningConcat": ("concat", ("conditioning_to", "conditioning_from")),
    "ConditioningSetMask": ("append", ("conditioning", "mask", "set_cond_area", "strength")),
    "ConditioningSetTimestepRange": ("set_range", ("conditioning", "start", "end")),
    "ConditioningZeroOut": ("zero_out", ("conditioning",)),
    "ControlNetApply": ("apply_controlnet", ("conditioning", "control_net", "image", "strength")),
    "ControlNetApplyAdvanced": (
        "apply_controlnet",
        ("positive", "negative", "control_net", "image", "strength", "start_percent", "end_percent", "vae"),
    ),
    "ControlNetLoader": ("load_controlnet", ("control_net_name",)),
    "EmptyLatentImage": ("generate", ("width", "height", "batch_size")),
    "ImageBatch": ("batch", ("image1", "image2")),
    "ImageScale": ("upscale", ("image", "upscale_method", "width", "height", "crop")),
    "ImageScaleBy": ("upscale", ("image", "upscale_method", "scale_by")),
    "InpaintModelConditioning": ("encode", ("positive", "negative", "pixels", "vae", "mask", "noise_mask")),
    "LatentComposite": ("composite", ("samples_to", "samples_from", "x", "y", "feather")),
    "LatentFromBatch": ("frombatch", ("samples", "batch_index", "length")),
    "LatentUpscaleBy": ("upscale", ("samples", "upscale_method", "scale_by")),
    "LoadImage": ("load_image", ("image",)),
    "LoraLoader": ("load_lora", ("model", "clip", "lora_name", "strength_model", "strength_clip")),
    "RepeatLatentBatch": ("repeat", ("samples", "amount")),
    "SetLatentNoiseMask": ("set_mask", ("samples", "mask")),
    "VAEDecode": ("decode", ("vae", "samples")),
    "VAEDecodeTiled": ("decode", ("vae", "samples", "tile_size", "overlap", "temporal_size", "temporal_overlap")),
    "VAEEncode": ("encode", ("vae", "pixels")),
    "VAEEncodeForInpaint": ("encode", ("vae", "pixels", "mask", "grow_mask_by")),
    "VAEEncodeTiled": ("encode", ("vae", "pixels", "tile_size", "overlap", "temporal_size", "temporal_overlap")),
    "VAELoader": ("load_vae", ("vae_name",)),
}
"""Method names and positional orders by which packs call built-in classes (observed at their call sites)."""


def build(host: Host) -> StandIn:
    """The stand-in module; its names are attached to our own package `nodes`."""
    table = NodeTable(host)
    return _NodesModule(
        table,
        NODE_CLASS_MAPPINGS=table,
        NODE_DISPLAY_NAME_MAPPINGS=_Titles(table, host),
        EXTENSION_WEB_DIRS=host.extra_web_directories,
        LOADED_MODULE_DIRS={},
        MAX_RESOLUTION=MAX_DIMENSION,
        interrupt_processing=interrupt_current_processing,
        before_node_execution=_before_node_execution,
    )


def _before_node_execution() -> None:
    context = running()
    if context is not None:
        context.check_cancelled()


class _NodesModule(StandIn):
    """Answers `nodes.<NodeType>` with the class of that node."""

    def __init__(self, table: NodeTable, **members: Any) -> None:
        super().__init__("nodes", **members)
        self._table = table

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._table:
            return self._table[name]
        return self.instead_of(name)


class NodeTable(MutableMapping[str, Any]):
    """Node classes by type name: what packs wrote, classes of loaded packs, and facades of built-in nodes."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._written: dict[str, Any] = {}
        self._facades: dict[str, type] = {}
        self._savers = image_savers(host)

    def __getitem__(self, name: str) -> Any:
        for known in (self._written, self._savers, self._facades):
            if name in known:
                return known[name]
        definition = self._definition(name)
        own = definition.extra.get("class")
        self._facades[name] = own if own is not None else facade(definition, self._host)
        return self._facades[name]

    def __setitem__(self, name: str, cls: Any) -> None:
        self._written[name] = cls

    def __delitem__(self, name: str) -> None:
        del self._written[name]

    def __iter__(self) -> Iterator[str]:
        names = [*_builtins(), *self._host.definitions, *self._savers, *self._written]
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._written or name in self._savers or name in self._host.definitions or name in _builtins()

    def copy(self) -> dict[str, Any]:
        """All classes in a plain dictionary."""
        return dict(self)

    def _definition(self, name: str) -> NodeDefinition:
        definition = find_definition(self._host, name)
        if definition is None:
            raise KeyError(name)
        return definition


class _Titles(Mapping[str, str]):
    """Display names by type name."""

    def __init__(self, table: NodeTable, host: Host) -> None:
        self._table = table
        self._host = host

    def __getitem__(self, name: str) -> str:
        definition = self._host.definitions.get(name) or _builtins()[name]
        return definition.spec.title or name

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*_builtins(), *self._host.definitions]))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _builtins() -> dict[str, NodeDefinition]:
    """Definitions of the built-in node modules that are loaded now (packs are imported before the catalog exists)."""
    found: dict[str, NodeDefinition] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("nodes.") and module is not None:
            for value in list(vars(module).values()):
                definition = getattr(value, "__node__", None) if inspect.isfunction(value) else None
                if isinstance(definition, NodeDefinition):
                    found[definition.spec.name] = definition
    return found


def find_definition(host: Host, name: str) -> NodeDefinition | None:
    """The definition of a node type that is loaded now, or None."""
    return host.definitions.get(name) or _builtins().get(name)


def facade(definition: NodeDefinition, host: Host) -> type:
    """A classic class for a built-in node: declarations, and a method that calls its function.

    The method takes the positional order packs know, needs a running node call when the function needs a context, and
    gives a tuple of outputs. Calling a sampling node raises NodeError: it is driven by the engine, not by a call.
    """
    spec = definition.spec
    method_name, order = _METHODS.get(spec.name, ("execute", tuple(item.name for item in spec.visible_inputs)))
    members: dict[str, Any] = {
        "INPUT_TYPES": classmethod(lambda cls: _input_types(spec, host)),
        "RETURN_TYPES": tuple(item.type for item in spec.outputs),
        "RETURN_NAMES": tuple(item.name for item in spec.outputs),
        "OUTPUT_IS_LIST": tuple(item.is_list for item in spec.outputs),
        "INPUT_IS_LIST": spec.is_input_list,
        "FUNCTION": method_name,
        "CATEGORY": spec.category,
        "DESCRIPTION": spec.description,
        "OUTPUT_NODE": spec.is_output_node,
        "__module__": "nodes",
        "__doc__": spec.description,
        "__init__": lambda self, *args, **kwargs: None,
        "__node_definition__": definition,
        method_name: _method(definition, order),
    }
    for item in spec.visible_inputs:
        if item.name == "upscale_method" and isinstance(item.choices, tuple):
            members["upscale_methods"] = list(item.choices)
    return type(spec.name, (), members)


def _method(definition: NodeDefinition, order: tuple[str, ...]) -> Callable[..., Any]:
    spec = definition.spec

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if definition.is_generator:
            raise NodeError(
                not_emulated(f"calling nodes.{spec.name} as a function", asking_pack()),
                code="not_emulated",
                hint="Return it as part of an expansion instead.",
            )
        if len(args) > len(order):
            raise TypeError(f"{spec.name} takes {len(order)} values, {len(args)} were given")
        given = {**dict(zip(order, args)), **kwargs}
        if definition.context_parameter is not None:
            context = running()
            if context is None:
                raise NodeError(f"{spec.name} can only be called while a node runs.", code="no_context")
            given[definition.context_parameter] = context
        return _outputs(definition.function(**given), spec)

    call.__name__ = _METHODS.get(spec.name, ("execute", ()))[0]
    return call


def _outputs(returned: Any, spec: NodeSpec) -> Any:
    if isinstance(returned, NodeResult):
        if returned.ui is not None or returned.expand is not None:
            record: dict[str, Any] = {"result": returned.values}
            if returned.ui is not None:
                record["ui"] = dict(returned.ui)
            if returned.expand is not None:
                record["expand"] = dict(returned.expand.nodes)
            return record
        return returned.blocked if returned.blocked is not None else returned.values
    if isinstance(returned, (tuple, Blocker)):
        return returned
    return () if not spec.outputs else (returned,)


def _input_types(spec: NodeSpec, host: Host) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {"required": {}}
    for item in spec.inputs:
        groups.setdefault(item.presence, {})[item.name] = item.type if item.presence == "hidden" else _entry(item, host)
    return groups


def _entry(item: InputSpec, host: Host) -> tuple[Any, ...]:
    if item.choices is None or not item.is_choice:
        return (item.type, dict(item.options))
    return (_listed(item.choices, host), dict(item.options))


def _listed(choices: tuple[Any, ...] | FileChoices, host: Host) -> list[Any]:
    if not isinstance(choices, FileChoices):
        return list(choices)
    folders = host.settings.folders
    if choices.folder in folders.models:
        return [*folders.model_names(choices.folder), *choices.also]
    root = folders.root(choices.folder)
    names = sorted(path.name for path in root.iterdir() if path.is_file()) if root.is_dir() else []
    return [*names, *choices.also]
