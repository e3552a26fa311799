"""Complaints about missing weight files tell what the workflow says of them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.graph.complaint import Complaint
from engine.graph.model_facts import with_model_facts

URL = "https://example.org/base.safetensors"
ENTRY = {"name": "base.safetensors", "url": URL, "directory": "checkpoints", "license": "OpenRAIL-M"}
MISSING = Complaint("value_not_in_list", "…", got="xl\\base.safetensors", remedy="Put it there.", extra={"a": 1})


def on_node(*entries: Any) -> dict[str, Any]:
    return {"nodes": [{"id": 1, "properties": {"models": list(entries)}}, "no node"], "links": []}


@pytest.mark.parametrize(
    "workflow",
    [on_node(ENTRY), {"models": [ENTRY], "nodes": []}, {"nodes": [], "definitions": {"subgraphs": [on_node(ENTRY)]}}],
    ids=["on a node", "of the whole", "in a subgraph"],
)
def test_a_missing_file_is_told_with_its_address_and_its_licence(workflow: dict[str, Any]) -> None:
    (told,) = with_model_facts([MISSING], workflow)
    assert told.remedy == f"Put it there. The workflow says where it is: {URL}. Its licence: OpenRAIL-M."
    assert told.extra == {"a": 1, "model": {"url": URL, "license": "OpenRAIL-M"}}


def test_what_is_stated_twice_adds_up() -> None:
    address = {"name": "base.safetensors", "url": URL}
    (told,) = with_model_facts([MISSING], on_node({**ENTRY, "url": "javascript:alert(1)"}, address))
    assert told.extra["model"] == {"url": URL, "license": "OpenRAIL-M"}


@pytest.mark.parametrize(
    "workflow",
    [
        None, [], {"nodes": 3}, {"nodes": [{"properties": {"models": "x"}}]}, {"definitions": [1]}, on_node(None, 3),
        on_node({"name": 5, "license": "x"}), on_node({"name": "other.safetensors", "license": "x"}),
        on_node({"name": "base.safetensors", "url": ["x"], "license": 3}),
    ],
)  # fmt: skip
def test_a_workflow_that_says_nothing_of_a_file_changes_no_complaint(workflow: Any) -> None:
    assert with_model_facts([MISSING], workflow) == (MISSING,)


def test_complaints_about_other_things_stay_as_they_are() -> None:
    others = [Complaint("missing_input", "…", got="base.safetensors"), Complaint("value_not_in_list", "…", got=3)]
    assert with_model_facts([*others, MISSING], on_node(ENTRY))[:2] == tuple(others)
