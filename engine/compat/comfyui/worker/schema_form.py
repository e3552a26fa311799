"""Schema-form node classes → node definitions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from engine.api import Context, NodeDefinition, NodeError, NodeResult
from engine.compat.comfyui.worker.classic import CONTEXT_PARAMETER, validator_names
from engine.compat.comfyui.worker.file_lists import FileList
from engine.compat.comfyui.worker.fingerprints import fingerprint_of
from engine.compat.comfyui.worker.graph_builder import builder_scope
from engine.compat.comfyui.worker.inputs import plain_json
from engine.compat.comfyui.worker.results import to_result
from engine.compat.comfyui.worker.running import finish, running_in
from engine.compat.comfyui.worker.schema_node import ComfyNode, HiddenValues, Schema
from engine.compat.comfyui.worker.schema_types import Input, Output
from engine.graph.schema import ANY_TYPE, FileChoices, InputSpec, NodeSpec, OutputSpec

__all__ = ["is_schema_form", "schema_definition"]

_HIDDEN_PREFIX = "hidden:"


def is_schema_form(cls: Any) -> bool:
    """Whether `cls` is a schema-form node class."""
    return inspect.isclass(cls) and issubclass(cls, ComfyNode)


def schema_definition(cls: type[ComfyNode], *, title: str, pack: str, module: str, version: str) -> NodeDefinition:
    """The definition of a schema-form class. Raises what define_schema raises, NodeError when it is malformed."""

    def describe() -> NodeSpec:
        return _spec(cls, title=title, pack=pack, module=module, version=version)

    spec = describe()
    return NodeDefinition(
        spec=spec,
        function=_async_caller(cls, spec) if spec.is_async else _caller(cls, spec),
        context_parameter=CONTEXT_PARAMETER,
        validate=_validator(cls, spec) if spec.validates else None,
        fingerprint=_fingerprint(cls, spec) if spec.has_fingerprint else None,
        lazy=_lazy(cls, spec) if spec.has_lazy_check else None,
        extra={"class": cls, "describe": describe},
    )


def _spec(cls: type[ComfyNode], *, title: str, pack: str, module: str, version: str) -> NodeSpec:
    schema = cls.GET_SCHEMA()
    inputs = _inputs(schema)
    repeated = {item.name for item in inputs if sum(other.name == item.name for other in inputs) > 1}
    if repeated:
        raise NodeError(f"{schema.node_id} declares {sorted(repeated)} more than once.", code="bad_node_class")
    names = validator_names(getattr(cls, "validate_inputs", None))
    return NodeSpec(
        name=schema.node_id,
        title=schema.display_name or title,
        category=schema.category,
        description=schema.description,
        inputs=inputs,
        outputs=tuple(map(_output, schema.outputs)),
        is_output_node=schema.is_output_node,
        is_input_list=schema.is_input_list,
        is_deprecated=schema.is_deprecated,
        is_experimental=schema.is_experimental,
        is_api_node=schema.is_api_node,
        is_async=cls.is_async(),
        depends_on_id=schema.not_idempotent or any(item.type == "UNIQUE_ID" for item in inputs),
        has_fingerprint=cls.has_hook("fingerprint_inputs"),
        has_lazy_check=cls.has_hook("check_lazy_status"),
        validates=names,
        validates_types="input_types" in names,
        schema_form=True,
        lane="device",
        pack=pack,
        module=module,
        version=version,
        search_aliases=tuple(schema.search_aliases or ()),
        any_input=InputSpec(ANY_TYPE, ANY_TYPE, "optional", is_wildcard=True) if schema.accept_all_inputs else None,
    )


def _inputs(schema: Schema) -> tuple[InputSpec, ...]:
    for item in schema.inputs:
        if not isinstance(item, Input):
            raise NodeError(f"{schema.node_id} declares an input as {item!r}.", code="bad_node_class")
    required = [_input(item, "required") for item in schema.inputs if not item.optional]
    optional = [_input(item, "optional") for item in schema.inputs if item.optional]
    tokens = [str(getattr(token, "value", token)) for token in schema.hidden or ()]
    if schema.is_output_node:
        tokens += [token for token in ("PROMPT", "EXTRA_PNGINFO") if token not in tokens]
    taken = {item.id for item in schema.inputs}
    hidden = [
        InputSpec(token.lower() if token.lower() not in taken else _HIDDEN_PREFIX + token.lower(), token, "hidden")
        for token in tokens
    ]
    return (*required, *optional, *hidden)


def _input(item: Input, presence: str) -> InputSpec:
    choices: tuple[Any, ...] | FileChoices | None = None
    if item.choices is not None:
        listed = item.choices
        if isinstance(listed, FileList) and listed.is_untouched:
            choices = FileChoices(listed.folder)
        else:
            choices = tuple(plain_json(value) for value in listed)
    options = {key: plain_json(value) for key, value in item.options.items()}
    return InputSpec(item.id, item.io_type, presence, options, choices, item.io_type == ANY_TYPE)


def _output(item: Output) -> OutputSpec:
    name = item.display_name or item.id or item.io_type
    return OutputSpec(name, item.io_type, item.is_output_list, item.tooltip or "", item.io_type == ANY_TYPE)


def _split(spec: NodeSpec, arguments: Mapping[str, Any]) -> tuple[Context | None, HiddenValues, dict[str, Any]]:
    given = dict(arguments)
    context = given.pop(CONTEXT_PARAMETER, None)
    hidden: dict[str, Any] = {}
    for item in spec.inputs:
        if item.presence == "hidden" and item.name in given:
            hidden[item.type.lower()] = given.pop(item.name)
    known = {name: value for name, value in hidden.items() if name in HiddenValues.__dataclass_fields__}
    return context, HiddenValues(**known), given


def _bound(cls: type[ComfyNode], hidden: HiddenValues) -> type[ComfyNode]:
    """A subclass of `cls` for one call, so that concurrent calls do not see each other's hidden values."""
    return type(cls.__name__, (cls,), {"hidden": hidden, "__module__": cls.__module__})


def _caller(cls: type[ComfyNode], spec: NodeSpec) -> Callable[..., NodeResult]:
    def call(**arguments: Any) -> NodeResult:
        context, hidden, given = _split(spec, arguments)
        with running_in(context), builder_scope(context):
            returned = finish(_bound(cls, hidden).execute(**given))
        return to_result(returned, spec.name, len(spec.outputs))

    return call


def _async_caller(cls: type[ComfyNode], spec: NodeSpec) -> Callable[..., Any]:
    async def call(**arguments: Any) -> NodeResult:
        context, hidden, given = _split(spec, arguments)
        with running_in(context), builder_scope(context):
            returned = await _bound(cls, hidden).execute(**given)  # type: ignore[misc]
        return to_result(returned, spec.name, len(spec.outputs))

    return call


def _validator(cls: type[ComfyNode], spec: NodeSpec) -> Callable[..., Any]:
    names = validator_names(cls.validate_inputs)  # type: ignore[attr-defined]

    def validate(**arguments: Any) -> Any:
        _, hidden, given = _split(spec, arguments)
        if "*" not in names:
            given = {name: given[name] for name in names if name in given}
        elif "input_types" not in names:
            given.pop("input_types", None)
        return finish(_bound(cls, hidden).validate_inputs(**given))  # type: ignore[attr-defined]

    return validate


def _fingerprint(cls: type[ComfyNode], spec: NodeSpec) -> Callable[..., Any]:
    def fingerprint(**arguments: Any) -> Any:
        _, hidden, given = _split(spec, arguments)
        return fingerprint_of(_bound(cls, hidden).fingerprint_inputs, given, spec.name)  # type: ignore[attr-defined]

    return fingerprint


def _lazy(cls: type[ComfyNode], spec: NodeSpec) -> Callable[..., list[str]]:
    def lazy(**arguments: Any) -> list[str]:
        context, hidden, given = _split(spec, arguments)
        with running_in(context):
            wanted = finish(_bound(cls, hidden).check_lazy_status(**given))  # type: ignore[attr-defined]
        return list(wanted or ())

    return lazy
