"""The only door for node authors: the `node` decorator, socket types, the context, results and errors.

A node is a typed function. Its spec is derived from its signature and docstring::

    @node("EmptyLatentImage", title="Empty Latent Image", category="latent")
    def empty_latent_image(width: Dimension = 512, height: Dimension = 512, batch_size: BatchSize = 1) -> Latent:
        \"\"\"Zeros in the SD latent layout, [b 4 h/8 w/8].\"\"\"

The function stays a plain function, so a test calls it directly. Values that come in are shared with the cache and
other nodes: never modify them in place. See docs/writing-nodes.md.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

import torch

from engine import diffusion, imaging
from engine.core.errors import AtelierError, Cancelled, NodeError
from engine.execution.events import Blocker
from engine.graph.schema import ANY_TYPE, FileChoices, InputSpec, NodeSpec, OutputSpec

__all__ = [
    "MAX_DIMENSION", "MAX_SEED",
    "AnyValue", "AtelierError", "BatchSize", "Blocker", "Bool", "Cancelled", "Choice", "Clip", "Conditioning",
    "Context", "Dimension", "ExtraPngInfo", "Float", "GraphExpansion", "Hidden", "Image", "InputFile", "Int", "Latent",
    "LatentOperation", "Lazy", "Mask", "Model", "ModelFile", "ModelLibrary", "NodeDefinition", "NodeError",
    "NodeResult", "Options", "PromptJson", "Range", "Seed", "Socket", "String", "Text", "UniqueId", "Vae", "diffusion",
    "imaging", "node",
]  # fmt: skip

MAX_DIMENSION = 16384
MAX_SEED = 0xFFFFFFFFFFFFFFFF

F = TypeVar("F", bound=Callable[..., Any])


# ------------------------------------------------------------------ annotations


@dataclass(frozen=True)
class Socket:
    """Marks an annotated type as the socket type `type` ("IMAGE"). `is_wildcard`: fits every type."""

    type: str
    is_wildcard: bool = False


@dataclass(frozen=True)
class Range:
    """Bounds of a number, inclusive. `step` and `round` are for editors, the server checks min and max only."""

    min: float | None = None
    max: float | None = None
    step: float | None = None
    round: float | None = None


@dataclass(frozen=True)
class Options:
    """Further wire options of an input, e.g. Options(tooltip="…", control_after_generate=True, forceInput=True)."""

    values: Mapping[str, Any]

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "values", values)

    def __hash__(self) -> int:
        return hash(tuple(sorted((key, repr(value)) for key, value in self.values.items())))


@dataclass(frozen=True)
class Text:
    """A string edited as text. `dynamic_prompts`: `{a|b}` and comments are resolved by the editor before queueing."""

    multiline: bool = False
    dynamic_prompts: bool = False
    placeholder: str = ""


@dataclass(frozen=True)
class Choice:
    """A choice out of `values` computed by the author (Literal[…] is the plain form)."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class ModelFile:
    """A choice out of the files of a model folder, plus fixed entries. The file's digest enters the address."""

    folder: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputFile:
    """A choice out of the files of a working folder. `media`: image, video, audio, a glob, or "" for all.

    `upload` adds the editor's upload button; the file's digest enters the address.
    """

    media: str = "image"
    folder: str = "input"
    upload: bool = True


@dataclass(frozen=True)
class Hidden:
    """A value the engine fills in: UNIQUE_ID, PROMPT, EXTRA_PNGINFO, DYNPROMPT."""

    token: str


@dataclass(frozen=True)
class Lazy:
    """The link is fetched only when the node's lazy check asks for it."""


Image = Annotated[torch.Tensor, Socket("IMAGE")]
"""float32 [b h w c], c 3 or 4, values in [0, 1]."""
Mask = Annotated[torch.Tensor, Socket("MASK")]
"""float32 [b h w] (or [h w]), values in [0, 1]."""
Latent = Annotated[dict[str, Any], Socket("LATENT")]
"""{"samples": [b c h w]} plus optional "noise_mask" [b 1 h w] and "batch_index" [int]."""
LatentOperation = Annotated[Callable[..., Any], Socket("LATENT_OPERATION")]
Model = Annotated[Any, Socket("MODEL")]
Clip = Annotated[Any, Socket("CLIP")]
Vae = Annotated[Any, Socket("VAE")]
Conditioning = Annotated[list[Any], Socket("CONDITIONING")]
"""List of [cross-attention tensor [b n d], dict of further entries] pairs."""
AnyValue = Annotated[Any, Socket(ANY_TYPE, is_wildcard=True)]
Int = Annotated[int, Socket("INT")]
Float = Annotated[float, Socket("FLOAT")]
String = Annotated[str, Socket("STRING")]
Bool = Annotated[bool, Socket("BOOLEAN")]
Dimension = Annotated[int, Range(16, MAX_DIMENSION, step=8)]
BatchSize = Annotated[int, Range(1, 4096)]
Seed = Annotated[int, Range(0, MAX_SEED), Options(control_after_generate=True)]
PromptJson = Annotated[Any, Hidden("PROMPT")]
ExtraPngInfo = Annotated[Any, Hidden("EXTRA_PNGINFO")]
UniqueId = Annotated[str, Hidden("UNIQUE_ID")]


# ------------------------------------------------------------------ results and context


@dataclass(frozen=True)
class GraphExpansion:
    """A subgraph in API form, {id: {"class_type", "inputs", "override_display_id"?}}; ids unique in the whole job."""

    nodes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class NodeResult:
    """What a node returns when plain values are not enough. As a return annotation it means: no outputs, UI only.

    Args:
        values: one per output; with `expand`, values may be links `[id, slot]` into the new nodes.
        ui: UI output, key → list.
        blocked: block every output.
        expand: new nodes to run in place of this one.
    """

    values: tuple[Any, ...] = ()
    ui: Mapping[str, list[Any]] | None = None
    blocked: Blocker | None = None
    expand: GraphExpansion | None = None


class ModelLibrary(Protocol):
    """Opens weight files as immutable handles; the worker provides it (engine.families.model_store)."""

    def open_checkpoint(self, path: Path) -> tuple[Any, Any, Any]:
        """(MODEL, CLIP, VAE) of a checkpoint; CLIP or VAE None when the file has none. Raises CheckpointError."""
        ...

    def open_vae(self, path: Path) -> Any:
        """The VAE of a file that holds (at least) one. Raises CheckpointError."""
        ...

    def open_taesd(self, encoder: Path, decoder: Path) -> Any:
        """The tiny autoencoder of an encoder file and a decoder file. Raises CheckpointError."""
        ...


class Context(Protocol):
    """What a running node may ask of the engine. A parameter annotated `Context` receives it."""

    @property
    def job_id(self) -> str:
        """The job this call belongs to."""
        ...

    @property
    def node_id(self) -> str:
        """The node being run (generated nodes: their own id)."""
        ...

    @property
    def call_index(self) -> int:
        """Which call of the node this is: 0, or the list item's number when inputs are lists."""
        ...

    @property
    def client_id(self) -> str | None:
        """Who submitted the job, or None."""
        ...

    @property
    def models(self) -> ModelLibrary:
        """Opens weight files."""
        ...

    @property
    def metadata_enabled(self) -> bool:
        """False when files must be written without prompt and workflow (`--disable-metadata`)."""
        ...

    @property
    def preview_method(self) -> str:
        """How previews of the job are made: none, auto, latent2rgb or taesd."""
        ...

    def check_cancelled(self) -> None:
        """Raise Cancelled when the job is to stop."""
        ...

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        """Report progress, with an optional preview image [h w c]; also checks for cancellation."""
        ...

    def send_image(self, image: torch.Tensor, index: int, total: int) -> None:
        """Send a full-size image [h w c] to the client's socket as PNG."""
        ...

    def text(self, text: str) -> None:
        """Show a line of text on the node."""
        ...

    def warn(self, message: str) -> None:
        """Record a warning in the job's log."""
        ...

    def model_path(self, folder: str, name: str) -> Path:
        """The weight file called `name`. Raises NodeError naming the folder when it is missing."""
        ...

    def input_path(self, name: str) -> Path:
        """The contained path of an input-folder file; understands ` [output]` and ` [temp]` endings."""
        ...

    def save_file(
        self,
        data: bytes,
        *,
        prefix: str,
        extension: str,
        media_type: str,
        folder: Literal["output", "temp"] = "output",
        ui_key: str = "images",
        numbered: bool = True,
        width_px: int = 0,
        height_px: int = 0,
        batch_number: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Hand over a finished file; it becomes visible as `<prefix>_<counter>_.<extension>`, exactly once per job.

        The UI entry {filename, subfolder, type, **extra} is added to the node's UI output under `ui_key`.
        """
        ...


# ------------------------------------------------------------------ the decorator


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
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise TypeError(f"{function.__name__}: a node cannot take *{parameter.name}")
        hint = hints.get(parameter.name)
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
    return inspect.isclass(origin) and issubclass(origin, typing.get_origin(typing.Generator[Any, Any, Any]))


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
