"""Node specs: what a node takes, gives and promises. Plain data that travels from workers to the server as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

__all__ = [
    "ANY_TYPE",
    "FOLDERS",
    "WIDGET_TYPES",
    "Catalog",
    "FileChoices",
    "InputSpec",
    "NodeSpec",
    "OutputSpec",
    "object_info",
    "spec_from_json",
    "spec_to_json",
    "types_match",
    "wire_input",
]

ANY_TYPE = "*"
FOLDERS = "folders"
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


@dataclass(frozen=True, slots=True)
class FileChoices:
    """The choices are the files of a folder at the moment of asking.

    `folder` is a model folder key ("checkpoints") or a working folder ("input", "output", "temp"). For working
    folders `media` narrows the listing: "image", "video", "audio", a glob such as "*.latent", or "" for all; FOLDERS
    lists the folders there instead of files.
    `also` are fixed entries listed after the files.
    """

    folder: str
    media: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a node: socket, widget, or hidden value.

    `presence` is "required", "optional" or "hidden"; for hidden inputs `type` is the token (UNIQUE_ID, PROMPT …).
    `options` are the wire options (default, min, max, step, round, multiline, lazy, rawLink, forceInput, tooltip …)
    without the choices. `choices` is set when `type` is "COMBO", and as FileChoices for other values that name a
    file, such as what a camera took. `is_wildcard`: links of every type fit.
    """

    name: str
    type: str
    presence: str = "required"
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[Any, ...] | FileChoices | None = None
    is_wildcard: bool = False

    @property
    def is_widget(self) -> bool:
        """Whether an editor shows a control for it (and stores a value in `widgets_values`)."""
        return self.presence != "hidden" and self.type in WIDGET_TYPES and not self.options.get("forceInput")

    @property
    def is_choice(self) -> bool:
        """Whether its value is picked out of a list."""
        return self.type == "COMBO" and self.choices is not None

    @property
    def is_lazy(self) -> bool:
        """Whether its link is fetched only when the node asks for it."""
        return bool(self.options.get("lazy"))


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a node. `is_list`: the value is a list that downstream nodes map over."""

    name: str
    type: str
    is_list: bool = False
    tooltip: str = ""
    is_wildcard: bool = False


@dataclass(frozen=True)
class NodeSpec:
    """The declaration of a node type.

    `version` changes when the node's behaviour may have changed (digest of its pack's source); it enters content
    addresses. `lane` says where it runs: "device" (network forwards), "cpu", or "io". `validates` names the arguments
    of its own validator (("*",) for all), () for none; `validates_types`: its validator replaces the link type check.
    `is_volatile`: never served from the cache. `depends_on_id`: equal nodes with different ids are different values.
    `any_input`: the node takes inputs of every name, and this says how those it does not list are declared (its own
    name and presence mean nothing); None when it takes only what it lists.
    `schema_form`: the new wire form of COMBO inputs is used in object_info. `pack` is the folder that declared it,
    "nodes" for built-ins; `module` is the dotted module clients see.
    """

    name: str
    title: str = ""
    category: str = ""
    description: str = ""
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    is_output_node: bool = False
    is_input_list: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    is_async: bool = False
    is_volatile: bool = False
    depends_on_id: bool = False
    has_fingerprint: bool = False
    has_lazy_check: bool = False
    validates: tuple[str, ...] = ()
    validates_types: bool = False
    schema_form: bool = False
    lane: str = "cpu"
    pack: str = "nodes"
    module: str = "nodes"
    version: str = ""
    search_aliases: tuple[str, ...] = ()
    any_input: InputSpec | None = None

    @cached_property
    def inputs_by_name(self) -> Mapping[str, InputSpec]:
        """Visible and hidden inputs by name."""
        return {item.name: item for item in self.inputs}

    def input_named(self, name: str) -> InputSpec | None:
        """How the input `name` is declared, by itself or with all others; None when the node does not take it."""
        return self.inputs_by_name.get(name, self.any_input)

    @cached_property
    def hidden_inputs(self) -> tuple[InputSpec, ...]:
        """Inputs the engine fills in; `type` is the token."""
        return tuple(item for item in self.inputs if item.presence == "hidden")

    @cached_property
    def has_file_choices(self) -> bool:
        """Whether an input names a file of a folder."""
        return any(isinstance(item.choices, FileChoices) for item in self.inputs)

    @cached_property
    def visible_inputs(self) -> tuple[InputSpec, ...]:
        """Required inputs, then optional ones, in declared order."""
        return tuple(i for i in self.inputs if i.presence == "required") + tuple(
            i for i in self.inputs if i.presence == "optional"
        )

    @cached_property
    def widgets(self) -> tuple[InputSpec, ...]:
        """The inputs an editor shows controls for, in `widgets_values` order."""
        return tuple(item for item in self.visible_inputs if item.is_widget)


class Catalog:
    """All known node specs, immutable. Two catalogs with equal `digest` hold equal specs."""

    def __init__(self, specs: Mapping[str, NodeSpec], digest: str = "") -> None:
        self._specs = dict(specs)
        self.digest = digest

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __getitem__(self, name: str) -> NodeSpec:
        return self._specs[name]

    def __iter__(self):
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def get(self, name: str) -> NodeSpec | None:
        """The spec called `name`, or None."""
        return self._specs.get(name)

    def nearest(self, name: str) -> str | None:
        """The known name or title most like `name`, or None when nothing is close."""
        folded = {spec.lower(): spec for spec in self._specs}
        close = difflib.get_close_matches(name.lower()[:200], list(folded), n=1, cutoff=0.6)
        return folded[close[0]] if close else None


def types_match(received: str, wanted: str) -> bool:
    """Whether a link of type `received` fits an input of type `wanted`: a common member of the comma lists.

    Wildcards are flags of the specs, not of the strings; see `InputSpec.is_wildcard`.
    """
    if received == wanted:
        return True
    return not {part.strip() for part in received.split(",")}.isdisjoint(part.strip() for part in wanted.split(","))


def spec_to_json(spec: NodeSpec) -> dict[str, Any]:
    """A spec as JSON; `spec_from_json` gives back an equal one."""
    record = asdict(spec)
    items, sources = list(record["inputs"]), list(spec.inputs)
    if spec.any_input is not None:
        items.append(record["any_input"])
        sources.append(spec.any_input)
    for item, source in zip(items, sources, strict=True):
        if isinstance(source.choices, FileChoices):
            item["choices"] = {"files": item["choices"]}
    return record


def spec_from_json(record: Mapping[str, Any]) -> NodeSpec:
    """The spec of a record made by `spec_to_json` (also after a trip through JSON text)."""
    values = dict(record)
    values["inputs"] = tuple(_input_from_json(item) for item in record["inputs"])
    values["outputs"] = tuple(OutputSpec(**item) for item in record["outputs"])
    values["validates"] = tuple(record["validates"])
    values["search_aliases"] = tuple(record["search_aliases"])
    any_input = record.get("any_input")
    values["any_input"] = None if any_input is None else _input_from_json(any_input)
    return NodeSpec(**values)


def _input_from_json(record: Mapping[str, Any]) -> InputSpec:
    values = dict(record)
    choices = values["choices"]
    if isinstance(choices, Mapping):
        files = choices["files"]
        values["choices"] = FileChoices(files["folder"], files["media"], tuple(files["also"]))
    elif choices is not None:
        values["choices"] = tuple(choices)
    return InputSpec(**values)


def object_info(spec: NodeSpec, list_files: Callable[[FileChoices], list[str]]) -> dict[str, Any]:
    """The record ComfyUI clients know from `/object_info`. `list_files` lists a folder now."""
    groups: dict[str, dict[str, Any]] = {"required": {}}
    for item in spec.inputs:
        groups.setdefault(item.presence, {})[item.name] = wire_input(item, spec.schema_form, list_files)
    record: dict[str, Any] = {
        "input": groups,
        "input_order": {presence: list(items) for presence, items in groups.items()},
        "output": [item.type for item in spec.outputs],
        "output_is_list": [item.is_list for item in spec.outputs],
        "output_name": [item.name for item in spec.outputs],
        "name": spec.name,
        "display_name": spec.title or spec.name,
        "description": spec.description,
        "python_module": spec.module,
        "category": spec.category,
        "output_node": spec.is_output_node,
        "is_input_list": spec.is_input_list,
    }
    tooltips = [item.tooltip for item in spec.outputs]
    if any(tooltips) or spec.schema_form:
        record["output_tooltips"] = [tip or None for tip in tooltips]
    for key, value in (
        ("deprecated", spec.is_deprecated),
        ("experimental", spec.is_experimental),
        ("api_node", spec.is_api_node),
    ):
        if value or spec.schema_form:
            record[key] = value
    if spec.search_aliases:
        record["search_aliases"] = list(spec.search_aliases)
    return record


def wire_input(item: InputSpec, schema_form: bool, list_files: Callable[[FileChoices], list[str]]) -> Any:
    """One input as it stands in an `/object_info` record."""
    if item.presence == "hidden":
        return item.type
    options = dict(item.options)
    # The list of a remote choice is asked for at its route.
    if item.choices is None or not item.is_choice or "remote" in options:
        return [item.type, options] if options else [item.type]
    values = list_files(item.choices) if isinstance(item.choices, FileChoices) else list(item.choices)
    if schema_form:
        return ["COMBO", {"multiselect": False, **options, "options": values}]
    return [values, options] if options else [values]
