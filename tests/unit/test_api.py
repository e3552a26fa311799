"""The decorator: a signature becomes a spec."""

from collections.abc import Generator
from typing import Annotated, Any, Literal

import pytest

import engine.api as api
from engine.api import (
    AnyValue,
    BatchSize,
    Bool,
    Choice,
    Context,
    Dimension,
    ExtraPngInfo,
    Float,
    Image,
    InputFile,
    Int,
    Latent,
    Lazy,
    Mask,
    ModelFile,
    NodeResult,
    Options,
    PromptJson,
    Range,
    Seed,
    Socket,
    String,
    Svg,
    Text,
    UniqueId,
    node,
)
from engine.graph.schema import FileChoices, InputSpec, OutputSpec, spec_from_json, spec_to_json, wire_input


def spec_of(function, **options):
    return node("Test", **options)(function).__node__.spec


def inputs_of(function, **options):
    return {item.name: item for item in spec_of(function, **options).inputs}


def test_the_function_stays_a_plain_function():
    @node("Double")
    def double(value: Int) -> Int:
        """Twice the value."""
        return value * 2

    assert double(4) == 8
    assert double.__node__.function is double
    assert (double.__node__.spec.name, double.__node__.spec.description) == ("Double", "Twice the value.")


def test_plain_types_and_sockets_become_inputs():
    def function(i: int, f: Float, s: String, b: Bool, image: Image, latent: Latent) -> None: ...

    assert [(item.name, item.type, item.presence) for item in spec_of(function).inputs] == [
        ("i", "INT", "required"),
        ("f", "FLOAT", "required"),
        ("s", "STRING", "required"),
        ("b", "BOOLEAN", "required"),
        ("image", "IMAGE", "required"),
        ("latent", "LATENT", "required"),
    ]


def test_bounds_texts_and_options_become_wire_options():
    def function(
        width: Dimension = 512,
        count: BatchSize = 1,
        seed: Seed = 0,
        words: Annotated[str, Text(multiline=True, dynamic_prompts=True, placeholder="say")] = "",
        strength: Annotated[float, Range(0.0, 1.0, step=0.01, round=0.001), Options(tooltip="how much")] = 1.0,
    ) -> None: ...

    assert {name: item.options for name, item in inputs_of(function).items()} == {
        "width": {"default": 512, "min": 16, "max": 16384, "step": 8},
        "count": {"default": 1, "min": 1, "max": 4096},
        "seed": {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF, "control_after_generate": True},
        "words": {"default": "", "multiline": True, "dynamicPrompts": True, "placeholder": "say"},
        "strength": {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01, "round": 0.001, "tooltip": "how much"},
    }


def test_choices_come_from_literals_authors_and_folders():
    def function(
        mode: Literal["a", "b"],
        computed: Annotated[str, Choice(("x", "y"))],
        model: Annotated[str, ModelFile("loras", also=("None",))],
        image: Annotated[str, InputFile("image")],
        latent: Annotated[str, InputFile("*.latent", upload=False)],
    ) -> None: ...

    found = inputs_of(function)
    assert {item.type for item in found.values()} == {"COMBO"}
    assert all(item.is_choice for item in found.values())
    assert found["mode"].choices == ("a", "b")
    assert found["computed"].choices == ("x", "y")
    assert found["model"].choices == FileChoices("loras", "", ("None",))
    assert (found["image"].choices, found["image"].options) == (FileChoices("input", "image"), {"image_upload": True})
    assert (found["latent"].choices, found["latent"].options) == (FileChoices("input", "*.latent"), {})


def test_a_file_from_a_camera_is_a_dependency_but_no_choice():
    def function(image: Annotated[str, InputFile("image", upload=False), Socket("WEBCAM")]) -> None: ...

    item = inputs_of(function)["image"]
    assert item == InputSpec("image", "WEBCAM", choices=FileChoices("input", "image"))
    assert not item.is_choice
    assert wire_input(item, False, lambda choices: ["a.png"]) == ["WEBCAM"]


def test_svg_documents_are_one_value():
    def function(svg: Svg) -> Svg: ...

    spec = spec_of(function)
    assert spec.inputs == (InputSpec("svg", "SVG"),)
    assert spec.outputs == (OutputSpec("SVG", "SVG"),)


def test_inputs_are_optional_by_type_or_by_name():
    def function(
        a: Image | None = None, b: Annotated[Mask | None, Options(tooltip="t")] = None, c: Int = 1
    ) -> None: ...

    found = inputs_of(function, optional=("c",))
    assert {name: (item.presence, item.type) for name, item in found.items()} == {
        "a": ("optional", "IMAGE"),
        "b": ("optional", "MASK"),
        "c": ("optional", "INT"),
    }
    assert found["b"].options == {"tooltip": "t"}
    assert "default" not in found["a"].options


def test_the_context_is_no_input_and_hidden_values_are():
    @node("Hiding")
    def function(ctx: Context, me: UniqueId, prompt: PromptJson, info: ExtraPngInfo, x: Int) -> None: ...

    definition = function.__node__
    assert definition.context_parameter == "ctx"
    assert [(item.name, item.type) for item in definition.spec.inputs if item.presence == "hidden"] == [
        ("me", "UNIQUE_ID"), ("prompt", "PROMPT"), ("info", "EXTRA_PNGINFO"),
    ]  # fmt: skip
    assert definition.spec.depends_on_id


def test_lazy_and_wildcard_inputs_are_marked():
    def function(value: Annotated[AnyValue, Lazy()], other: Annotated[Any, Socket("FOO")]) -> None: ...

    found = inputs_of(function)
    assert (found["value"].is_lazy, found["value"].is_wildcard, found["value"].type) == (True, True, "*")
    assert (found["other"].is_lazy, found["other"].is_wildcard, found["other"].type) == (False, False, "FOO")


def outputs_of(hint, **options):
    def function():
        raise NotImplementedError

    function.__annotations__["return"] = hint
    return spec_of(function, **options).outputs


@pytest.mark.parametrize(
    ("hint", "types"),
    [
        (None, []),
        (NodeResult, []),
        (Image, ["IMAGE"]),
        (int, ["INT"]),
        (tuple[Image, Mask], ["IMAGE", "MASK"]),
        (tuple[Int], ["INT"]),
        (Generator[Any, Any, Latent], ["LATENT"]),
        (Generator[Any, Any, tuple[Latent, Latent]], ["LATENT", "LATENT"]),
        (Generator[Any, Any, None], []),
    ],
    ids=str,
)
def test_the_return_type_becomes_outputs(hint, types):
    assert [item.type for item in outputs_of(hint)] == types


def test_outputs_are_named_after_their_types_or_as_told():
    assert outputs_of(tuple[Image, AnyValue], output_names=("picture", "rest"), list_outputs=(False, True)) == (
        OutputSpec("picture", "IMAGE"),
        OutputSpec("rest", "*", is_list=True, is_wildcard=True),
    )
    assert [item.name for item in outputs_of(tuple[Image, Mask])] == ["IMAGE", "MASK"]


@pytest.mark.parametrize(
    ("hint", "is_tuple"),
    [
        (tuple[Int], True),
        (Int, False),
        (None, False),
        (Generator[Any, Any, tuple[Int]], True),
        (Generator[Any, Any, Int], False),
    ],
    ids=str,
)
def test_whether_one_output_comes_in_a_tuple_is_known(hint, is_tuple):
    def function():
        raise NotImplementedError

    function.__annotations__["return"] = hint
    assert node("T")(function).__node__.returns_tuple is is_tuple


def test_kinds_of_functions_are_told_apart():
    @node("G", lane="cpu")
    def generator(x: Int) -> Generator[Any, Any, Int]:
        yield x
        return x

    @node("A")
    async def coroutine(x: Int) -> Int:
        return x

    @node("P", lane="io")
    def plain(x: Int) -> Int:
        return x

    assert (generator.__node__.is_generator, generator.__node__.spec.lane) == (True, "device")
    assert (coroutine.__node__.spec.is_async, coroutine.__node__.is_generator) == (True, False)
    assert (plain.__node__.spec.is_async, plain.__node__.spec.lane) == (False, "io")


def test_the_wire_order_may_differ_from_the_parameters():
    def function(a: Int, b: Int, c: Int) -> None: ...

    assert [item.name for item in spec_of(function, order=("c", "a")).inputs] == ["c", "a", "b"]


def test_hooks_are_declared_in_the_spec():
    def function(a: Int, b: Int) -> None: ...

    spec = spec_of(function, validate=lambda a: True, fingerprint=lambda b: 1, lazy=lambda a: [])
    assert (spec.validates, spec.has_fingerprint, spec.has_lazy_check) == (("a",), True, True)
    assert spec_of(function, validate=lambda **rest: True).validates == ("*",)
    plain = spec_of(function)
    assert (plain.validates, plain.has_fingerprint, plain.has_lazy_check) == ((), False, False)


def with_variable_arguments(*values: Int) -> None: ...


def with_variable_keywords(**values: Int) -> None: ...


def without_annotation(value) -> None: ...


def with_unknown_type(value: dict[str, int]) -> None: ...


def with_two_types(value: int | str) -> None: ...


def with_unknown_result(value: Int) -> set[int]: ...


@pytest.mark.parametrize(
    "function",
    [
        with_variable_arguments,
        with_variable_keywords,
        without_annotation,
        with_unknown_type,
        with_two_types,
        with_unknown_result,
    ],
)
def test_a_signature_without_sockets_is_a_type_error_that_names_the_function(function):
    with pytest.raises(TypeError, match=r"with|Test"):
        node("Test")(function)


def test_a_spec_survives_json():
    def function(
        ctx: Context,
        model: Annotated[str, ModelFile("loras", also=("None",))],
        mode: Literal["a", "b"] = "a",
        image: Image | None = None,
    ) -> tuple[Image, Mask]: ...

    spec = spec_of(function, title="T", category="c", output=True, output_names=("x", "y"), search_aliases=("z",))
    import json

    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_every_public_name_exists():
    assert [name for name in api.__all__ if not hasattr(api, name)] == []


def test_an_input_spec_without_choices_is_a_socket_or_widget():
    assert InputSpec("x", "INT").is_widget
    assert not InputSpec("x", "IMAGE").is_widget
    assert not InputSpec("x", "INT", options={"forceInput": True}).is_widget
