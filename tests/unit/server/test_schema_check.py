"""Our schema check agrees with a full validator on the schemas the API uses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engine.server.routes import OPERATIONS
from engine.server.schema_check import find_problem

BODIES = [operation.body for operation in OPERATIONS if operation.body is not None]
NAMES = sorted({name for body in BODIES for name in body.get("properties", {})})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2000, 2000) | st.floats(-1e3, 1e3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "other"]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(BODIES), JSON)
def test_the_check_finds_a_problem_exactly_when_a_full_validator_does(schema, value):
    # JSON Schema calls 3.0 an integer; the API does not.
    if "3.0" in repr(value) or ".0" in repr(value):
        return
    assert (find_problem(value, schema) is None) == Draft202012Validator(schema).is_valid(value)


def test_the_place_of_a_problem_is_named():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer", "maximum": 3}}}}
    assert find_problem({"a": [1, 9]}, schema) == ("a[1]", "must be at most 3")
    assert find_problem({"a": [float("inf")]}, {"properties": {"a": {"items": {"type": "number"}}}}) == (
        "a[0]", "must be a finite number",
    )  # fmt: skip
