"""Validation: every complaint, its data, and what may still run."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from engine.graph.complaint import Complaint
from engine.graph.graph import Link
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.schema import Catalog, FileChoices, InputSpec, NodeSpec, OutputSpec
from engine.graph.validate import Validation, validate
from tests.reference_catalog import reference_catalog

MODELS = {"checkpoints": ["a.safetensors", "sub/b.safetensors"], "input": ["cat.png"], "output": ["out.png"]}

UNION = NodeSpec("Union", inputs=(InputSpec("n", "INT,FLOAT", options={"min": 0, "max": 9}),), is_output_node=True)
ANY = NodeSpec("AnyOut", outputs=(OutputSpec("any", "*", is_wildcard=True),))
OWN = NodeSpec(
    "OwnCheck",
    inputs=(
        InputSpec("n", "INT", options={"max": 9}),
        InputSpec("c", "COMBO", choices=("x",)),
        InputSpec("i", "IMAGE"),
    ),
    is_output_node=True,
    validates=("n", "c"),
)
OWN_TYPES = NodeSpec("OwnTypes", inputs=(InputSpec("i", "IMAGE"),), is_output_node=True, validates_types=True)
KEYWORDS = NodeSpec("Keywords", inputs=(), is_output_node=True)
ANY_NAMES = NodeSpec("AnyNames", is_output_node=True, any_input=InputSpec("*", "LORA", "optional"))
SEVERAL = NodeSpec(
    "Several",
    inputs=(InputSpec("c", "COMBO", options={"multiselect": True}, choices=("x", "y")),),
    is_output_node=True,
    schema_form=True,
)
CATALOG = Catalog(
    {name: reference_catalog()[name] for name in reference_catalog()}
    | {spec.name: spec for spec in (UNION, ANY, OWN, OWN_TYPES, KEYWORDS, ANY_NAMES, SEVERAL)}
)


def list_files(choices: FileChoices) -> list[str]:
    return list(MODELS.get(choices.folder, []))


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def checked(prompt: dict[str, Any], **more: Any) -> Validation:
    return validate(parse_prompt(prompt), CATALOG, list_files=list_files, **more)


def picture(**changes: Any) -> dict[str, Any]:
    inputs = {"width": 64, "height": 64, "batch_size": 1, "color": 0, **changes}
    return {
        "1": node("EmptyImage", **{name: value for name, value in inputs.items() if value is not ...}),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }


def only(validation: Validation) -> Complaint:
    (complaint,) = validation.complaints
    return complaint


def test_a_sound_graph_has_no_complaints_and_all_its_outputs_as_targets() -> None:
    validation = checked(picture())
    assert validation.complaints == ()
    assert validation.targets == ("2",)
    assert validation.reached == ("1", "2")
    assert validation.can_run


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("width", 32.7, 32),
        ("width", True, 1),
        ("width", "12", 12),
        ("width", " 12 ", 12),
        ("filename_prefix", 12, "12"),
        ("filename_prefix", None, "None"),
    ],
)
def test_constants_are_converted_to_the_type_of_their_input(name: str, given: Any, wanted: Any) -> None:
    prompt = picture()
    owner = "1" if name == "width" else "2"
    prompt[owner]["inputs"][name] = given
    validation = checked(prompt)
    assert validation.complaints == ()
    found = validation.graph[owner].inputs[name]
    assert found == wanted
    assert type(found) is type(wanted)


def test_floats_and_booleans_are_converted() -> None:
    prompt = {
        "1": node("PrimitiveFloat", value=3),
        "2": node("PrimitiveBoolean", value="no"),
        "3": node("PreviewAny", source=["1", 0]),
        "4": node("PreviewAny", source=["2", 0]),
    }
    graph = checked(prompt).graph
    assert (graph["1"].inputs["value"], graph["2"].inputs["value"]) == (3.0, True)
    assert type(graph["1"].inputs["value"]) is float


def test_unknown_constants_are_dropped_and_unknown_links_are_kept() -> None:
    prompt = picture(unknown="x")
    prompt["3"] = node("Keywords", any_1=["1", 0], any_2=3)
    graph = checked(prompt).graph
    assert "unknown" not in graph["1"].inputs
    assert graph["3"].inputs == {"any_1": Link("1", 0)}


def test_a_missing_required_input_is_named() -> None:
    complaint = only(checked(picture(width=...)))
    assert (complaint.code, complaint.node, complaint.input) == ("required_input_missing", "1", "width")
    assert complaint.details == "width"
    assert complaint.extra == {"input_name": "width"}


@pytest.mark.parametrize("value", ["abc", "32.7", None, {"a": 1}, {"__value__": [1]}, "9" * 5000, ""])
def test_what_is_no_integer_is_an_invalid_input_type(value: Any) -> None:
    complaint = only(checked(picture(width=value)))
    assert complaint.code == complaint.comfy_type == "invalid_input_type"
    assert complaint.wanted == "INT"
    assert complaint.extra["input_config"][0] == "INT"


def test_the_reference_server_s_words_for_a_wrong_type() -> None:
    complaint = only(checked(picture(width="abc")))
    assert complaint.details == "width, abc, invalid literal for int() with base 10: 'abc'"
    assert complaint.extra == {
        "input_name": "width",
        "input_config": ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}],
        "received_value": "abc",
        "exception_message": "invalid literal for int() with base 10: 'abc'",
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_refused_for_numbers(value: float) -> None:
    whole = only(checked(picture(width=value)))
    prompt = {"1": node("PrimitiveFloat", value=value), "2": node("PreviewAny", source=["1", 0])}
    real = only(checked(prompt))
    assert {whole.code, real.code} == {"value_not_finite"}
    assert whole.comfy_type == "invalid_input_type"
    assert isinstance(real.got, str)


@pytest.mark.parametrize(
    ("value", "code", "limit"),
    [
        (0, "value_smaller_than_min", 1),
        ("0", "value_smaller_than_min", 1),
        (16385, "value_bigger_than_max", 16384),
        (1 << 64, "value_bigger_than_max", 16384),
        (10**300, "value_bigger_than_max", 16384),
        (1e308, "value_bigger_than_max", 16384),
    ],
)
def test_bounds_are_checked_after_conversion(value: Any, code: str, limit: int) -> None:
    complaint = only(checked(picture(width=value)))
    assert (complaint.code, complaint.wanted, complaint.details) == (code, limit, "width")


def test_integers_without_bounds_end_at_sixty_four_bits() -> None:
    spec = NodeSpec("Big", inputs=(InputSpec("n", "INT"),), is_output_node=True)
    catalog = Catalog({"Big": spec})
    for value, codes in (
        ((1 << 64) - 1, []),
        (1 << 64, ["value_bigger_than_max"]),
        (-(1 << 63) - 1, ["value_smaller_than_min"]),
    ):
        found = validate(parse_prompt({"1": node("Big", n=value)}), catalog, list_files=list_files)
        assert [c.code for c in found.complaints] == codes


def test_a_float_too_large_to_convert_is_bigger_than_its_maximum() -> None:
    prompt = {"1": node("PrimitiveFloat", value=10**400), "2": node("PreviewAny", source=["1", 0])}
    assert only(checked(prompt)).code == "value_bigger_than_max"


def test_bounds_of_union_types_hold_for_numbers_without_conversion() -> None:
    assert checked({"1": node("Union", n=4.5)}).graph["1"].inputs["n"] == 4.5
    assert only(checked({"1": node("Union", n=10)})).code == "value_bigger_than_max"
    assert checked({"1": node("Union", n="text")}).complaints == ()


def test_a_choice_outside_its_list_is_refused_and_the_nearest_is_suggested() -> None:
    prompt = {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=0),
        "2": node("ImageScale", image=["1", 0], upscale_method="bilinaer", width=1, height=1, crop="disabled"),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    complaint = only(checked(prompt))
    assert complaint.code == "value_not_in_list"
    assert complaint.details == (
        "upscale_method: 'bilinaer' not in ['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']"
    )
    assert "'bilinear'" in complaint.remedy


def test_long_lists_are_counted_instead_of_shown() -> None:
    prompt = {"1": node("KSamplerSelect", sampler_name="zzz"), "2": node("PreviewAny", source=["1", 0])}
    complaint = only(checked(prompt))
    assert complaint.details.startswith("sampler_name: 'zzz' not in (list of length ")
    assert complaint.extra["input_config"] is None


def test_choices_of_new_style_inputs_are_checked_and_several_may_be_chosen_where_allowed() -> None:
    assert checked({"1": node("Several", c="x")}).complaints == ()
    assert checked({"1": node("Several", c={"__value__": ["x", "y"]})}).complaints == ()
    assert only(checked({"1": node("Several", c={"__value__": ["x", "z"]})})).code == "value_not_in_list"


def test_model_files_are_looked_up_and_each_folder_is_listed_once() -> None:
    asked: Counter[str] = Counter()

    def counting(choices: FileChoices) -> list[str]:
        asked[choices.folder] += 1
        return list_files(choices)

    prompt = {str(i): node("CheckpointLoaderSimple", ckpt_name="a.safetensors") for i in range(50)}
    prompt |= {f"p{i}": node("PreviewAny", source=[str(i), 0]) for i in range(50)}
    assert validate(parse_prompt(prompt), CATALOG, list_files=counting).complaints == ()
    assert asked == {"checkpoints": 1}
    prompt["7"]["inputs"]["ckpt_name"] = "missing.safetensors"
    assert only(checked(prompt)).code == "value_not_in_list"


@pytest.mark.parametrize("name", ["cat.png", "cat.png [input]", "out.png [output]"])
def test_an_existing_picture_may_be_named_with_its_folder(name: str) -> None:
    prompt = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
    assert checked(prompt).complaints == ()


@pytest.mark.parametrize("name", ["nope.png", "cat.png [output]", "", "x" * 5000, 3, None])
def test_a_picture_that_is_not_there_fails_the_node_s_own_check(name: Any) -> None:
    prompt = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
    complaint = only(checked(prompt))
    assert complaint.code == "custom_validation_failed"
    assert complaint.details.startswith("image - Invalid image file: ")
    assert complaint.extra == {"input_name": "image"}


def test_the_picture_a_camera_took_must_be_there_too() -> None:
    def taken(name: str) -> dict[str, Any]:
        camera = node("WebcamCapture", image=name, width=0, height=0, capture_on_queue=True)
        return {"1": camera, "2": node("PreviewImage", images=["1", 0])}

    assert checked(taken("cat.png")).complaints == ()
    assert only(checked(taken(""))).details == "image - Invalid image file: "
    assert only(checked(taken("webcam/1.png [temp]"))).code == "custom_validation_failed"


def test_the_caller_may_answer_for_files_below_the_folder() -> None:
    prompt = {"1": node("LoadImage", image="sub/dog.png"), "2": node("PreviewImage", images=["1", 0])}
    seen: list[tuple[str, str]] = []

    def exists(folder: str, name: str) -> bool:
        seen.append((folder, name))
        return True

    assert checked(prompt, file_exists=exists).complaints == ()
    assert seen == [("input", "sub/dog.png")]


@pytest.mark.parametrize("value", [["1"], [], ["1", 0, 0], [1, 0], ["1", "0"]])
def test_a_malformed_link_is_a_bad_linked_input(value: list[Any]) -> None:
    prompt = picture()
    prompt["2"]["inputs"]["images"] = value
    complaint = only(checked(prompt))
    assert complaint.code == "bad_linked_input"
    assert complaint.extra == {"input_name": "images", "input_config": ["IMAGE", {}], "received_value": value}


def test_a_link_to_a_missing_node_or_output_is_named() -> None:
    for link, code, details in (
        (["9", 0], "link_to_missing_node", "'9'"),
        (["1", 1], "link_slot_out_of_range", "tuple index out of range"),
        (["1", -2], "link_slot_out_of_range", "tuple index out of range"),
        (["1", 10**30], "link_slot_out_of_range", "tuple index out of range"),
    ):
        prompt = picture()
        prompt["2"]["inputs"]["images"] = link
        complaint = only(checked(prompt))
        assert (complaint.code, complaint.details) == (code, details)
        assert complaint.comfy_type == "exception_during_validation"


def test_a_dangling_link_of_an_undeclared_input_is_named_too() -> None:
    assert only(checked({"1": node("Keywords", any_1=["9", 0])})).code == "link_to_missing_node"


def test_a_node_that_takes_every_name_keeps_undeclared_constants_and_links_of_every_type() -> None:
    prompt = picture()
    prompt["3"] = node("AnyNames", lora_1={"on": True}, sizes=[1, 2, 3], picture=["1", -1], text="x")
    found = checked(prompt)
    assert found.complaints == ()
    assert found.graph["3"].inputs == {
        "lora_1": {"on": True}, "sizes": [1, 2, 3], "picture": Link("1", 0), "text": "x",
    }  # fmt: skip
    assert parse_prompt(to_prompt(found.graph))["3"].inputs == found.graph["3"].inputs


def test_links_of_undeclared_names_must_lead_to_an_output() -> None:
    for link, code in ((["9", 0], "link_to_missing_node"), (["1", 7], "link_slot_out_of_range")):
        prompt = picture()
        prompt["3"] = node("AnyNames", x=link)
        assert only(checked(prompt)).code == code


def test_slot_minus_one_means_the_last_output() -> None:
    prompt = picture()
    prompt["2"]["inputs"]["images"] = ["1", -1]
    assert checked(prompt).graph["2"].inputs["images"] == Link("1", 0)


def test_link_types_must_share_a_member_unless_one_side_takes_everything() -> None:
    prompt = {
        "1": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
        "3": node("PreviewAny", source=["1", 0]),
        "4": node("AnyOut"),
        "5": node("SaveImage", images=["4", 0], filename_prefix="x"),
    }
    validation = checked(prompt)
    complaint = only(validation)
    assert complaint.code == "return_type_mismatch"
    assert complaint.details == "images, received_type(LATENT) mismatch input_type(IMAGE)"
    assert complaint.extra == {
        "input_name": "images",
        "input_config": ["IMAGE", {}],
        "received_type": "LATENT",
        "linked_node": ["1", 0],
    }
    assert validation.targets == ("3", "5")


def test_strings_do_not_fit_choices_and_integers_do_not_fit_floats() -> None:
    prompt = {
        "1": node("PrimitiveString", value="euler"),
        "2": node("KSamplerSelect", sampler_name=["1", 0]),
        "3": node("PrimitiveInt", value=1),
        "4": node("PrimitiveFloat", value=["3", 0]),
        "5": node("PreviewAny", source=["2", 0]),
        "6": node("PreviewAny", source=["4", 0]),
    }
    assert [c.code for c in checked(prompt).complaints] == ["return_type_mismatch"] * 2


def test_a_node_s_own_validator_replaces_the_checks_it_names() -> None:
    validation = checked({"1": node("OwnCheck", n=100, c="other", i=["2", 0]), "2": node("AnyOut")})
    assert validation.complaints == ()
    assert validation.needs_code_check == ("1",)
    wrong = checked({"1": node("OwnCheck", n="abc", c="other", i=["2", 0]), "2": node("AnyOut")})
    assert only(wrong).code == "invalid_input_type"
    loose = checked({"1": node("OwnTypes", i=["2", 0]), "2": node("PrimitiveInt", value=3)})
    assert loose.complaints == ()


def test_an_unknown_node_type_stops_everything_and_names_the_nearest() -> None:
    prompt = picture()
    prompt["3"] = node("LoadImag")
    validation = checked(prompt)
    complaint = only(validation)
    assert (complaint.code, complaint.node, complaint.comfy_type) == ("unknown_node", "3", "invalid_prompt")
    assert complaint.details == "Node ID '#3'"
    assert "'LoadImage'" in complaint.remedy
    assert validation.targets == ()


def test_a_node_without_type_is_told_from_an_unknown_one() -> None:
    prompt = picture()
    prompt["3"] = {"inputs": {}}
    assert only(checked(prompt)).code == "missing_node_type"


def test_a_graph_without_outputs_says_so() -> None:
    assert only(checked({"1": picture()["1"]})).code == "prompt_no_outputs"
    assert only(checked({})).code == "prompt_no_outputs"
    assert only(checked(picture(), targets=[])).code == "prompt_no_outputs"
    assert only(checked(picture(), targets=["1"])).code == "prompt_no_outputs"


def test_only_what_the_targets_need_is_checked() -> None:
    prompt = picture()
    prompt["3"] = node("SaveImage", images=["9", 0], filename_prefix="x")
    validation = checked(prompt, targets=["2"])
    assert validation.complaints == ()
    assert validation.targets == ("2",)
    assert "3" in validation.graph


def test_a_faulty_branch_does_not_stop_the_others_and_lists_what_needs_it() -> None:
    prompt = picture(width=0)
    prompt["3"] = node("PreviewImage", images=["1", 0])
    prompt["4"] = node("LoadImage", image="cat.png")
    prompt["5"] = node("PreviewImage", images=["4", 0])
    validation = checked(prompt)
    assert validation.targets == ("5",)
    assert validation.dependent_outputs == {"1": ("2", "3")}


def test_all_complaints_come_at_once() -> None:
    prompt = picture(width=0, height="x", color=...)
    prompt["2"]["inputs"]["filename_prefix"] = ["9", 0]
    codes = [c.code for c in checked(prompt).complaints]
    assert codes == [
        "value_smaller_than_min",
        "invalid_input_type",
        "required_input_missing",
        "link_to_missing_node",
    ]


@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_a_cycle_is_a_complaint_that_names_its_nodes(length: int) -> None:
    prompt = {str(i): node("ImageInvert", image=[str((i + 1) % length), 0]) for i in range(length)}
    prompt["save"] = node("SaveImage", images=["0", 0], filename_prefix="x")
    validation = checked(prompt)
    complaint = only(validation)
    assert complaint.code == "cycle"
    assert set(complaint.extra["nodes"]) == {str(i) for i in range(length)}
    assert validation.targets == ()


def test_the_given_graph_is_not_touched_and_comes_back_itself_when_nothing_changes() -> None:
    graph = parse_prompt(picture(width="64"))
    before = to_prompt(graph)
    validate(graph, CATALOG, list_files=list_files)
    assert to_prompt(graph) == before
    clean = parse_prompt(picture())
    assert validate(clean, CATALOG, list_files=list_files).graph is clean


def test_long_values_are_cut_in_complaints() -> None:
    prompt = picture(width="x" * 1_000_000)
    complaint = only(checked(prompt))
    assert len(str(complaint)) < 5000


def test_complaints_become_json_without_empty_members() -> None:
    assert only(checked(picture(width=0))).to_json() == {
        "code": "value_smaller_than_min",
        "message": "EmptyImage (node 1): width is 0, smaller than 1.",
        "node": "1",
        "node_type": "EmptyImage",
        "title": "EmptyImage",
        "input": "width",
        "got": 0,
        "wanted": 1,
        "remedy": "Enter a value of at least 1.",
    }
