from __future__ import annotations

import asyncio
import math

import pytest
import torch

from engine.api import Blocker, NodeError
from engine.compat.comfyui.worker import adapt_class, describe_again
from engine.graph.schema import FileChoices, object_info, spec_from_json, spec_to_json
from engine.worker.prompt_check import check_prompt

from .conftest import LoadPack, RecordingContext, run


def test_a_classic_class_becomes_a_spec_with_its_sockets_widgets_and_texts(load: LoadPack) -> None:
    spec = load("classic_pack").definitions["SampleGradient"].spec
    assert [(i.name, i.type, i.presence) for i in spec.inputs] == [
        ("width", "INT", "required"), ("height", "INT", "required"), ("direction", "COMBO", "required"),
        ("gain", "FLOAT", "optional"),
    ]  # fmt: skip
    assert spec.inputs[0].options == {"default": 16, "min": 1, "max": 16384}
    assert spec.inputs[2].choices == ("right", "left")
    assert [(o.name, o.type, o.tooltip) for o in spec.outputs] == [
        ("picture", "IMAGE", "the picture"), ("columns", "INT", "its width"),
    ]  # fmt: skip
    assert (spec.title, spec.category, spec.description) == ("Gradient (sample)", "samples", "A horizontal gradient.")
    assert (spec.pack, spec.version) == ("classic_pack", "v1")
    assert spec_from_json(spec_to_json(spec)) == spec


def test_flags_of_a_class_reach_the_spec(load: LoadPack) -> None:
    definitions = load("classic_pack").definitions
    once, clock = definitions["SampleOnce"].spec, definitions["SampleClock"].spec
    assert (once.is_deprecated, once.is_experimental, once.depends_on_id) == (True, True, True)
    assert (clock.has_fingerprint, clock.is_output_node) == (True, True)
    assert definitions["SampleShout"].spec.depends_on_id
    assert definitions["SampleSumAll"].spec.is_input_list
    assert definitions["SampleCountUp"].spec.outputs[0].is_list
    assert definitions["SampleWait"].spec.is_async
    assert definitions["SampleChoose"].spec.has_lazy_check


def test_the_wire_record_of_a_classic_class_has_the_classic_form(load: LoadPack) -> None:
    record = object_info(load("classic_pack").definitions["SampleGradient"].spec, lambda choices: [])
    assert record["input"]["required"]["direction"] == [["right", "left"]]
    assert record["input_order"] == {"required": ["width", "height", "direction"], "optional": ["gain"]}
    assert record["python_module"] == "custom_nodes.classic_pack"
    assert record["output_tooltips"] == ["the picture", "its width"]


def test_a_node_runs_and_gives_one_value_per_output(load: LoadPack) -> None:
    result = run(load("classic_pack").definitions["SampleGradient"], width=4, height=2, direction="left")
    assert result.values[0].shape == (1, 2, 4, 3)
    assert result.values[0][0, 0, :, 0].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert result.values[1] == 4


def test_a_dictionary_with_ui_and_result_gives_both(load: LoadPack) -> None:
    result = run(load("classic_pack").definitions["SampleShout"], text="hey", unique_id="3")
    assert result.values == ("HEY",)
    assert result.ui == {"text": ["HEY"], "from": ["3"]}


def test_a_type_that_forgot_its_comma_is_that_type(load: LoadPack) -> None:
    assert load("classic_pack").definitions["SampleShout"].spec.inputs_by_name["image"].type == "IMAGE"


def test_a_file_listing_stays_a_listing_of_its_folder(load: LoadPack) -> None:
    spec = load("classic_pack").definitions["SampleShout"].spec
    assert spec.inputs_by_name["lora"].choices == FileChoices("loras")


def test_a_wildcard_string_type_matches_everything_and_a_plain_star_does_not(load: LoadPack) -> None:
    spec = load("classic_pack").definitions["SampleChoose"].spec
    assert spec.inputs_by_name["first"].is_wildcard
    assert spec.outputs[0].is_wildcard
    plain = _node({"required": {"value": ("*",)}})
    assert not adapt_class("Plain", plain, "p").spec.inputs[0].is_wildcard


def test_the_lazy_check_names_the_branch_it_needs(load: LoadPack) -> None:
    definition = load("classic_pack").definitions["SampleChoose"]
    assert definition.lazy is not None
    assert definition.lazy(use_first=False, first=None, second=None, _node_context=RecordingContext()) == ["second"]
    assert definition.lazy(use_first=True, first="x", second=None) == []


def test_an_expansion_has_ids_below_the_expanding_node_and_its_call(load: LoadPack) -> None:
    definition = load("classic_pack").definitions["SampleRepeat"]
    result = run(definition, RecordingContext(node_id="5", call_index=2), text="a", times=2)
    assert result.expand is not None
    assert list(result.expand.nodes) == ["5.2.0.1", "5.2.0.2"]
    assert result.expand.nodes["5.2.0.2"] == {
        "class_type": "SampleJoin",
        "inputs": {"first": ["5.2.0.1", 0], "second": "!"},
    }
    assert result.values == (["5.2.0.2", 0],)


def test_a_blocker_in_a_slot_stays_one_with_or_without_message(load: LoadPack) -> None:
    definition = load("classic_pack").definitions["SampleGate"]
    assert run(definition, value=1, is_open=False, message="").values == (Blocker(None),)
    assert run(definition, value=1, is_open=False, message="stop").values == (Blocker("stop"),)
    assert run(definition, value=1, is_open=True, message="").values == (1,)


def test_one_object_serves_a_node_id_over_jobs_and_another_one_another_id(load: LoadPack) -> None:
    definition = load("classic_pack").definitions["SampleClock"]
    first, second = RecordingContext(node_id="1", job_id="a"), RecordingContext(node_id="1", job_id="b")
    assert [run(definition, context).values[0] for context in (first, second)] == [1, 2]
    assert run(definition, RecordingContext(node_id="2")).values[0] == 1


def test_a_change_hook_that_gives_nan_or_fails_never_equals_itself(load: LoadPack) -> None:
    clock = load("classic_pack").definitions["SampleClock"]
    assert clock.fingerprint is not None
    assert math.isnan(clock.fingerprint())
    assert math.isnan(clock.fingerprint(unexpected=1))


def test_change_hooks_give_json_values_and_unknown_objects_never_equal() -> None:
    values = iter([("a", 1), b"\x01", {"x": {2, 1}}, object()])
    node = _node({"required": {}}, IS_CHANGED=classmethod(lambda cls: next(values)))
    fingerprint = adapt_class("Hooked", node, "p").fingerprint
    assert fingerprint is not None
    assert [fingerprint() for _ in range(3)] == [["a", 1], {"bytes": "01"}, {"x": [1, 2]}]
    assert math.isnan(fingerprint())


def test_validators_answer_for_the_arguments_they_name(load: LoadPack) -> None:
    definitions = load("classic_pack").definitions
    prompt = {"1": {"class_type": "SampleEven", "inputs": {"number": 3}}}
    assert definitions["SampleEven"].spec.validates == ("number",)
    assert [c["details"] for c in check_prompt(prompt, ["1"], definitions)] == ["number - the number is odd"]
    prompt["1"]["inputs"]["number"] = 4
    assert check_prompt(prompt, ["1"], definitions) == []


def test_a_validator_that_asks_for_input_types_replaces_the_type_check(load: LoadPack) -> None:
    definitions = load("classic_pack").definitions
    spec = definitions["SampleTyped"].spec
    assert spec.validates_types
    prompt = {
        "1": {"class_type": "SampleGradient", "inputs": {"width": 2, "height": 2, "direction": "left"}},
        "2": {"class_type": "SampleTyped", "inputs": {"value": ["1", 0]}},
    }
    assert [c["details"] for c in check_prompt(prompt, ["2"], definitions)] == [" - got IMAGE"]
    prompt["2"]["inputs"]["value"] = ["1", 1]
    assert check_prompt(prompt, ["2"], definitions) == []


def test_an_async_node_is_awaited(load: LoadPack) -> None:
    definition = load("classic_pack").definitions["SampleWait"]
    result = asyncio.run(run(definition, seconds=0.0, value="x"))
    assert result.values == ("x",)


def test_a_class_that_cannot_be_described_is_left_out_and_named_and_the_others_stay(
    load: LoadPack, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load("classic_pack")
    assert "SampleMalformed" not in loaded.definitions
    assert "SampleGradient" in loaded.definitions
    assert "node SampleMalformed of pack classic_pack is left out: RuntimeError" in caplog.text


def test_too_few_values_are_an_error_and_surplus_ones_are_dropped() -> None:
    short = adapt_class("Short", _node({"required": {}}, returned=(1,), types=("INT", "INT")), "p")
    with pytest.raises(NodeError, match="returned 1 values although it declares 2 outputs"):
        run(short)
    long = adapt_class("Long", _node({"required": {}}, returned=(1, 2, 3), types=("INT", "INT")), "p")
    assert run(long).values == (1, 2)


def test_a_bare_value_is_the_only_output_and_nothing_is_an_error() -> None:
    picture = torch.zeros(1, 2, 2, 3)
    bare = adapt_class("Bare", _node({"required": {}}, returned=picture, types=("IMAGE",)), "p")
    assert run(bare).values[0] is picture
    nothing = adapt_class("Nothing", _node({"required": {}}, returned=None, types=("IMAGE",)), "p")
    with pytest.raises(NodeError, match="returned nothing"):
        run(nothing)


def test_ui_without_values_blocks_the_outputs_with_a_message() -> None:
    node = adapt_class("Ui", _node({"required": {}}, returned={"ui": {"text": "one"}}, types=("STRING",)), "p")
    result = run(node)
    assert result.ui == {"text": ["one"]}
    assert result.blocked == Blocker("Ui gave no values for its outputs.")


def test_describing_again_reads_the_declaration_anew() -> None:
    names = ["a"]
    node = _node({"required": {}})
    node.INPUT_TYPES = classmethod(lambda cls: {"required": {"pick": (list(names),)}})
    definition = adapt_class("Fresh", node, "p")
    names.append("b")
    assert definition.spec.inputs[0].choices == ("a",)
    assert describe_again(definition).spec.inputs[0].choices == ("a", "b")


def test_options_that_json_cannot_hold_are_dropped_or_shown_as_text() -> None:
    declared = {"required": {"x": ("INT", {"default": 1, "hook": lambda: 1, "max": float("inf"), "kind": object})}}
    options = adapt_class("Odd", _node(declared), "p").spec.inputs[0].options
    assert options["default"] == 1
    assert "hook" not in options
    assert options["max"] == pytest.approx(1.797e308, rel=1e-3)


def test_something_that_is_no_node_class_is_refused() -> None:
    with pytest.raises(NodeError, match="is no node class"):
        adapt_class("Wrong", dict, "p")


def _node(inputs: object, returned: object = (), types: tuple[str, ...] = (), **members: object) -> type:
    body = {
        "INPUT_TYPES": classmethod(lambda cls: inputs),
        "RETURN_TYPES": types,
        "FUNCTION": "run",
        "CATEGORY": "t",
        "run": lambda self, **kwargs: returned,
        **members,
    }
    return type("Made", (), body)
