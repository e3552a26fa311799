"""The `node` decorator: a typed function becomes a node type."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from engine.api.annotations import Choice, Each, Hidden, InputFile, Lazy, ModelFile, Options, Range, Socket, Text
from engine.api.context import Context, NodeResult
from engine.graph.schema import FileChoices, InputSpec, NodeSpec, OutputSpec

__all__ = ["NodeDefinition", "node"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class NodeDefinition:
    """A spec with the callables behind it. Attached to the function as `__node__`.

    `returns_tuple`: a function with one output returns it inside a tuple (declared as `-> tuple[X]`) rather than bare.
    `extra["describe"]`, if there, gives the spec as it is now (old packs list files when they are described).
    """

    spec: NodeSpec
    function: Callable[..., Any]
    context_parameter: str | None = None
    validate: Callable[..., Any] | None = None
    fingerprint: Callable[..., Any] | None = None
    lazy: Callable[..., Any] | None = None
    is_generator: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    returns_tuple: bool = False


def node(
    name: str,
    *,
    title: str = "",
    category: str = "",
    output: bool = False,
    output_names: tuple[str, ...] = (),
    list_outputs: tuple[bool, ...] = (),
    input_is_list: bool = False,
    optional: tuple[str, ...] = (),
    order: tuple[str, ...] = (),
    deprecated: bool = False,
    experimental: bool = False,
    volatile: bool = False,
    depends_on_id: bool = False,
    schema_form: bool = False,
    lane: Literal["device", "cpu", "io"] = "cpu",
    validate: Callable[..., Any] | None = None,
    fingerprint: Callable[..., Any] | None = None,
    lazy: Callable[..., Any] | None = None,
    search_aliases: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Declare a function as the node type `name`.

    Args:
        name: node type as it stands in workflow files.
        title: what people see; the name when empty.
        category: menu path, "image/transform".
        output: an output node: graphs run for its sake.
        output_names: names of the outputs; their socket types when empty.
        list_outputs: per output, whether it is a list that later nodes map over.
        input_is_list: called once with lists for all arguments instead of once per list item.
        optional: parameters that may stay unconnected although they are not `X | None`.
        order: wire order of the inputs when it differs from the parameter order.
        volatile: never served from the cache.
        depends_on_id: two equal nodes are two values.
        schema_form: object_info uses the newer wire form for choices.
        lane: where it runs; generator functions always run on "device".
        validate: called with the constants it names (links are None); returns True or a complaint.
        fingerprint: called like validate; its result enters the address.
        lazy: called with all inputs, unavailable ones None; returns the names still needed.

    Raises TypeError when the signature has a parameter or return type without a socket type.
    """

    def decorate(function: F) -> F:
        hints = typing.get_type_hints(function, include_extras=True, localns={"Context": Context})
        inputs, context_parameter = _inputs(function, hints, optional)
        if order:
            inputs = tuple(
                sorted(inputs, key=lambda item: order.index(item.name) if item.name in order else len(order))
            )
        is_generator = inspect.isgeneratorfunction(function)
        spec = NodeSpec(
            name=name,
            title=title,
            category=category,
            description=inspect.cleandoc(function.__doc__ or ""),
            inputs=inputs,
            outputs=_outputs(name, hints.get("return"), output_names, list_outputs),
            is_output_node=output,
            is_input_list=input_is_list,
            is_deprecated=deprecated,
            is_experimental=experimental,
            is_async=inspect.iscoroutinefunction(function),
            is_volatile=volatile,
            depends_on_id=depends_on_id or any(item.type == "UNIQUE_ID" for item in inputs),
            has_fingerprint=fingerprint is not None,
            has_lazy_check=lazy is not None,
            validates=_validated_names(validate),
            schema_form=schema_form,
            lane="device" if is_generator else lane,
            search_aliases=search_aliases,
        )
        function.__node__ = NodeDefinition(  # type: ignore[attr-defined]
            spec,
            function,
            context_parameter,
            validate,
            fingerprint,
            lazy,
            is_generator,
            returns_tuple=get_origin(_result_type(hints.get("return"))) is tuple,
        )
        return function

    return decorate


_PLAIN_TYPES: Mapping[type, str] = types.MappingProxyType({int: "INT", float: "FLOAT", str: "STRING", bool: "BOOLEAN"})


def _validated_names(validate: Callable[..., Any] | None) -> tuple[str, ...]:
    if validate is None:
        return ()
    parameters = inspect.signature(validate).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return ("*",)
    return tuple(p.name for p in parameters)


def _inputs(
    function: Callable[..., Any], hints: Mapping[str, Any], optional: tuple[str, ...]
) -> tuple[tuple[InputSpec, ...], str | None]:
    found: list[InputSpec] = []
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        each = next((mark for mark in _unwrap(hint)[1] if isinstance(mark, Each)), None)
        if each is not None and parameter.kind is parameter.VAR_KEYWORD:
            like = parameter.replace(kind=parameter.KEYWORD_ONLY, default=each.default)
            one = _input(function.__name__, like, hint, False)
            found += [replace(one, name=name) for name in each.names]
            continue
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise TypeError(f"{function.__name__}: a node cannot take *{parameter.name}")
        if hint is Context:
            context_parameter = parameter.name
            continue
        found.append(_input(function.__name__, parameter, hint, parameter.name in optional))
    return tuple(found), context_parameter


def _input(owner: str, parameter: inspect.Parameter, hint: Any, is_optional: bool) -> InputSpec:
    base, marks = _unwrap(hint)
    if get_origin(base) in (Union, types.UnionType) and type(None) in get_args(base):
        is_optional = True
        inner = [arg for arg in get_args(base) if arg is not type(None)]
        if len(inner) != 1:
            raise TypeError(f"{owner}: {parameter.name} must have one type besides None")
        base, more = _unwrap(inner[0])
        marks = (*more, *marks)
    options: dict[str, Any] = {}
    if parameter.default is not parameter.empty and parameter.default is not None:
        options["default"] = parameter.default
    socket, choices, is_wildcard, presence = _socket_type(base), None, False, "required"
    if get_origin(base) is Literal:
        socket, choices = "COMBO", get_args(base)
    for mark in marks:
        if isinstance(mark, Hidden):
            return InputSpec(parameter.name, mark.token, "hidden")
        if isinstance(mark, Socket):
            socket, is_wildcard = mark.type, mark.is_wildcard
        elif isinstance(mark, Choice):
            socket, choices = "COMBO", mark.values
        elif isinstance(mark, ModelFile):
            socket, choices = "COMBO", FileChoices(mark.folder, "", mark.also)
        elif isinstance(mark, InputFile):
            socket, choices = "COMBO", FileChoices(mark.folder, mark.media)
            if mark.upload:
                options[f"{mark.media}_upload" if mark.media in ("image", "audio", "video") else "file_upload"] = True
        options.update(_mark_options(mark))
    if not socket:
        raise TypeError(f"{owner}: parameter {parameter.name} has no socket type ({hint!r})")
    if is_optional:
        presence = "optional"
    return InputSpec(parameter.name, socket, presence, options, choices, is_wildcard)


def _mark_options(mark: Any) -> dict[str, Any]:
    if isinstance(mark, Range):
        pairs = (("min", mark.min), ("max", mark.max), ("step", mark.step), ("round", mark.round))
        return {key: value for key, value in pairs if value is not None}
    if isinstance(mark, Text):
        flags = {"multiline": mark.multiline, "dynamicPrompts": mark.dynamic_prompts, "placeholder": mark.placeholder}
        return {key: value for key, value in flags.items() if value}
    if isinstance(mark, Options):
        return dict(mark.values)
    return {"lazy": True} if isinstance(mark, Lazy) else {}


def _outputs(owner: str, hint: Any, names: tuple[str, ...], list_flags: tuple[bool, ...]) -> tuple[OutputSpec, ...]:
    hint = _result_type(hint)
    if hint is None or hint is type(None) or hint is NodeResult:
        return ()
    base, _ = _unwrap(hint)
    items = get_args(base) if get_origin(base) is tuple else (hint,)
    outputs = []
    for index, item in enumerate(items):
        inner, marks = _unwrap(item)
        sockets = [mark for mark in marks if isinstance(mark, Socket)]
        kind = sockets[-1].type if sockets else _socket_type(inner)
        if not kind:
            raise TypeError(f"{owner}: output {index} has no socket type ({item!r})")
        outputs.append(
            OutputSpec(
                names[index] if names else kind,
                kind,
                bool(list_flags and list_flags[index]),
                is_wildcard=bool(sockets and sockets[-1].is_wildcard),
            )
        )
    return tuple(outputs)


def _result_type(hint: Any) -> Any:
    """The return type: of a generator function, what the generator returns."""
    base, _ = _unwrap(hint)
    return get_args(base)[2] if get_origin(base) is not None and _is_generator_type(base) else hint


def _is_generator_type(base: Any) -> bool:
    origin = get_origin(base)
    return inspect.isclass(origin) and issubclass(origin, Generator)


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        inner, more = _unwrap(base)
        return inner, (*more, *marks)
    if get_origin(hint) is list and (get_origin(item := get_args(hint)[0]) is Annotated or item in _PLAIN_TYPES):
        return _unwrap(item)  # list[Image]: a node that takes or gives lists says what they hold
    return hint, ()


def _socket_type(base: Any) -> str:
    return _PLAIN_TYPES.get(base, "") if isinstance(base, type) else ""
