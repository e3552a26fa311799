"""Validators that only exist as code."""

from engine.api import Int, String, node
from engine.worker.prompt_check import check_prompt


def complaints_of(validate, types=False, **inputs):
    from dataclasses import replace

    @node("Checked", validate=validate)
    def checked(value: Int = 0, text: String = "") -> Int:
        return value

    definition = checked.__node__
    if types:
        names = tuple(name for name in definition.spec.validates if name != "input_types")
        definition = replace(definition, spec=replace(definition.spec, validates=names, validates_types=True))
    prompt = {"1": {"class_type": "Checked", "inputs": inputs}, "2": {"class_type": "Checked", "inputs": {}}}
    return check_prompt(prompt, ["1"], {"Checked": definition})


def test_true_is_no_complaint():
    assert complaints_of(lambda value: True, value=1) == []


def test_a_text_is_one_complaint_for_each_argument_the_validator_names():
    found = complaints_of(lambda value, text: "no good", value=1, text="x")
    assert [(item["code"], item["input"], item["details"]) for item in found] == [
        ("custom_validation_failed", "value", "value - no good"),
        ("custom_validation_failed", "text", "text - no good"),
    ]


def test_false_is_a_complaint_without_words():
    (found,) = complaints_of(lambda value: False, value=1)
    assert found["details"] == "value"


def test_absent_inputs_are_not_passed_and_linked_ones_are_none():
    seen = []

    def validate(**arguments):
        seen.append(arguments)
        return True

    complaints_of(validate, value=["2", 0], other=5)
    assert seen == [{"value": None}]


def test_received_types_are_passed_to_a_validator_that_asks():
    seen = []

    def validate(input_types):
        seen.append(input_types)
        return True

    complaints_of(validate, types=True, value=["2", 0], text="x")
    assert seen == [{"value": "INT"}]


def test_an_exception_is_a_complaint_with_its_lines():
    def validate(value):
        return 1 / value

    (found,) = complaints_of(validate, value=0)
    assert (found["code"], found["details"], found["extra"]["exception_type"]) == (
        "exception_during_validation", "division by zero", "ZeroDivisionError",
    )  # fmt: skip
    assert "in validate" in found["extra"]["traceback"][-1]


def test_a_prompt_that_cannot_be_read_is_a_complaint():
    (found,) = check_prompt({"1": 5}, ["1"], {})
    assert found["code"] == "bad_prompt"


def test_unknown_nodes_and_types_are_somebody_elses_complaint():
    assert check_prompt({"1": {"class_type": "Nothing", "inputs": {}}}, ["1", "2"], {}) == []
