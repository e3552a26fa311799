"""Classic node classes (INPUT_TYPES, RETURN_TYPES, FUNCTION …) → node definitions."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from engine.api import Context, NodeDefinition, NodeError, NodeResult
from engine.compat.comfyui.worker.fingerprints import fingerprint_of
from engine.compat.comfyui.worker.graph_builder import builder_scope
from engine.compat.comfyui.worker.inputs import any_input_spec, input_specs, is_wildcard, type_name
from engine.compat.comfyui.worker.instances import InstancePool
from engine.compat.comfyui.worker.results import to_result
from engine.compat.comfyui.worker.running import finish, running_in
from engine.graph.schema import NodeSpec, OutputSpec

__all__ = ["CONTEXT_PARAMETER", "classic_definition", "classic_spec", "is_classic", "validator_names"]

_LOG = logging.getLogger(__name__)
CONTEXT_PARAMETER = "_node_context"
"""Keyword under which the runner passes the context to adapted functions (never passed on to the pack)."""


def is_classic(cls: Any) -> bool:
    """Whether `cls` looks like a classic node class."""
    return inspect.isclass(cls) and hasattr(cls, "INPUT_TYPES") and hasattr(cls, "FUNCTION")


def classic_definition(
    name: str, cls: type, *, title: str, pack: str, module: str, version: str, pool: InstancePool
) -> NodeDefinition:
    """The definition of a classic class. Raises NodeError (or whatever INPUT_TYPES raises) when it is malformed."""

    def describe() -> NodeSpec:
        return classic_spec(name, cls, title=title, pack=pack, module=module, version=version)

    spec = describe()
    method = getattr(cls, cls.FUNCTION, None)  # type: ignore[attr-defined]
    if not callable(method):
        raise NodeError(f"{name} names {cls.FUNCTION!r} as its function but has no such method.", code="bad_node_class")  # type: ignore[attr-defined]
    return NodeDefinition(
        spec=spec,
        function=_async_caller(cls, spec, pool) if spec.is_async else _caller(cls, spec, pool),
        context_parameter=CONTEXT_PARAMETER,
        validate=_validator(cls) if spec.validates else None,
        fingerprint=_fingerprint(cls, name) if spec.has_fingerprint else None,
        lazy=_lazy(cls, pool) if spec.has_lazy_check else None,
        extra={"class": cls, "describe": describe, "instances": pool},
    )


def classic_spec(name: str, cls: Any, *, title: str, pack: str, module: str, version: str) -> NodeSpec:
    """The spec of a classic class as it declares itself now (INPUT_TYPES is called)."""
    declared = finish(cls.INPUT_TYPES())
    inputs = input_specs(name, declared)
    names = validator_names(getattr(cls, "VALIDATE_INPUTS", None))
    method = getattr(cls, cls.FUNCTION, None)
    return NodeSpec(
        name=name,
        title=title or str(getattr(cls, "TITLE", "")) or name,
        category=str(getattr(cls, "CATEGORY", "sd")),
        description=str(getattr(cls, "DESCRIPTION", "") or ""),
        inputs=inputs,
        outputs=_output_specs(name, cls),
        is_output_node=bool(getattr(cls, "OUTPUT_NODE", False)),
        is_input_list=bool(getattr(cls, "INPUT_IS_LIST", False)),
        is_deprecated=bool(getattr(cls, "DEPRECATED", False)),
        is_experimental=bool(getattr(cls, "EXPERIMENTAL", False)),
        is_api_node=bool(getattr(cls, "API_NODE", False)),
        is_async=inspect.iscoroutinefunction(method),
        depends_on_id=bool(getattr(cls, "NOT_IDEMPOTENT", False)) or any(item.type == "UNIQUE_ID" for item in inputs),
        has_fingerprint=callable(getattr(cls, "IS_CHANGED", None)),
        has_lazy_check=callable(getattr(cls, "check_lazy_status", None)),
        validates=names,
        validates_types="input_types" in names,
        lane="device",
        pack=pack,
        module=module,
        version=version,
        search_aliases=tuple(map(str, getattr(cls, "SEARCH_ALIASES", ()) or ())),
        any_input=any_input_spec(name, declared),
    )


def validator_names(hook: Any) -> tuple[str, ...]:
    """The arguments a validation hook asks for: names, plus "*" when it takes **kwargs; () without a hook."""
    if not callable(hook):
        return ()
    parameters = inspect.signature(hook).parameters.values()
    named = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return ("*", "input_types") if "input_types" in named else ("*",)
    return named


def _output_specs(owner: str, cls: Any) -> tuple[OutputSpec, ...]:
    types = getattr(cls, "RETURN_TYPES", ()) or ()
    if isinstance(types, str):
        types = (types,)
    names = getattr(cls, "RETURN_NAMES", None) or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    lists = tuple(getattr(cls, "OUTPUT_IS_LIST", None) or ())
    tips = tuple(getattr(cls, "OUTPUT_TOOLTIPS", None) or ())
    found = []
    for index, kind in enumerate(types):
        text = "COMBO" if isinstance(kind, (list, tuple, set)) else type_name(kind)
        found.append(
            OutputSpec(
                name=str(names[index]) if index < len(names) else text,
                type=text,
                is_list=bool(lists[index]) if index < len(lists) else False,
                tooltip=str(tips[index] or "") if index < len(tips) else "",
                is_wildcard=is_wildcard(kind),
            )
        )
    if names and len(names) < len(found):
        _LOG.info("%s names %d of its %d outputs", owner, len(names), len(found))
    return tuple(found)


def _prepare(arguments: dict[str, Any]) -> tuple[Context | None, dict[str, Any]]:
    """Take the context out of the arguments."""
    return arguments.pop(CONTEXT_PARAMETER, None), arguments


def _node_id(context: Context | None) -> str | None:
    return context.node_id if context is not None else None


def _caller(cls: Any, spec: NodeSpec, pool: InstancePool) -> Callable[..., NodeResult]:
    def call(**arguments: Any) -> NodeResult:
        context, given = _prepare(arguments)
        with pool.borrow(_node_id(context), cls) as instance, running_in(context), builder_scope(context):
            returned = finish(getattr(instance, cls.FUNCTION)(**given))
        return to_result(returned, spec.name, len(spec.outputs))

    return call


def _async_caller(cls: Any, spec: NodeSpec, pool: InstancePool) -> Callable[..., Any]:
    async def call(**arguments: Any) -> NodeResult:
        context, given = _prepare(arguments)
        with pool.borrow(_node_id(context), cls) as instance, running_in(context), builder_scope(context):
            returned = await getattr(instance, cls.FUNCTION)(**given)
        return to_result(returned, spec.name, len(spec.outputs))

    return call


def _validator(cls: Any) -> Callable[..., Any]:
    names = validator_names(cls.VALIDATE_INPUTS)

    def validate(**arguments: Any) -> Any:
        given = arguments if "*" in names else {name: arguments[name] for name in names if name in arguments}
        if "input_types" not in names:
            given.pop("input_types", None)
        return finish(cls.VALIDATE_INPUTS(**given))

    return validate


def _fingerprint(cls: Any, name: str) -> Callable[..., Any]:
    def fingerprint(**arguments: Any) -> Any:
        arguments.pop(CONTEXT_PARAMETER, None)
        return fingerprint_of(cls.IS_CHANGED, arguments, name)

    return fingerprint


def _lazy(cls: Any, pool: InstancePool) -> Callable[..., list[str]]:
    def lazy(**arguments: Any) -> list[str]:
        context = arguments.pop(CONTEXT_PARAMETER, None)
        with pool.borrow(_node_id(context), cls) as instance, running_in(context):
            wanted = finish(instance.check_lazy_status(**arguments))
        return _names(wanted)

    return lazy


def _names(wanted: Any) -> list[str]:
    if wanted is None:
        return []
    if isinstance(wanted, str):
        return [wanted]
    if isinstance(wanted, Mapping):
        raise NodeError("check_lazy_status must return a list of input names.", code="bad_node_result")
    return [str(item) for item in wanted]
