"""Workflow documents: two schemas, nothing lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from engine.core.errors import GraphError
from engine.graph.workflow import Workflow, is_workflow

OLD: dict[str, Any] = {
    "id": "w",
    "revision": 3,
    "last_node_id": 2,
    "last_link_id": 2,
    "nodes": [
        {"id": 1, "type": "A", "pos": {"0": 1, "1": 2}, "x_pack": {"deep": [1, {"a": None}]}, "outputs": []},
        {"id": "b", "type": "B", "inputs": [{"name": "i", "type": "IMAGE", "link": 1, "x": 1}], "mode": 4},
    ],
    "links": [[1, 1, 0, "b", 0, "IMAGE"], [2, 1, "0", "b", 1, ["a", "b"]]],
    "floatingLinks": [{"id": 9, "origin_id": 1}],
    "groups": [{"id": 1, "title": "G", "bounding": [0, 0, 1, 1], "x_new": True}],
    "config": {"links_ontop": True},
    "extra": {
        "ds": {"scale": 1, "offset": [0, 0]},
        "reroutes": [{"id": 1, "pos": [1, 1], "linkIds": [1]}],
        "linkExtensions": [{"id": 1, "parentId": 1}],
        "VHS_latentpreview": False,
    },
    "definitions": {"subgraphs": [{"id": "u", "nodes": [], "links": [], "x": 1}]},
    "models": [{"name": "a.safetensors", "url": "https://example.org/a", "directory": "vae"}],
    "x_unknown": [1, 2, 3],
    "version": 0.4,
}


def test_schema_04_becomes_schema_1_with_objects_for_links_and_reroutes_on_top() -> None:
    saved = Workflow.load(OLD).save()
    assert saved["version"] == 1
    assert saved["links"][0] == {
        "id": 1, "origin_id": 1, "origin_slot": 0, "target_id": "b", "target_slot": 0, "type": "IMAGE", "parentId": 1,
    }  # fmt: skip
    assert saved["reroutes"] == OLD["extra"]["reroutes"]
    assert saved["state"] == {"lastNodeId": 2, "lastLinkId": 2}
    assert saved["extra"] == {"ds": OLD["extra"]["ds"], "VHS_latentpreview": False}
    for key in ("nodes", "groups", "config", "definitions", "models", "x_unknown", "floatingLinks", "id", "revision"):
        assert saved[key] == OLD[key]


def test_saving_schema_04_gives_back_the_very_document() -> None:
    assert Workflow.load(OLD).save(version=0.4) == OLD


def test_loading_what_was_saved_gives_an_equal_workflow_in_both_schemas() -> None:
    workflow = Workflow.load(OLD)
    for version in (0.4, 1):
        assert Workflow.load(json.dumps(workflow.save(version=version))) == workflow


def test_loading_and_saving_leave_the_given_document_alone() -> None:
    document = copy.deepcopy(OLD)
    workflow = Workflow.load(document)
    workflow.save(0.4)
    workflow.save(1)
    assert document == OLD


def test_the_version_of_the_file_is_remembered_but_does_not_count() -> None:
    old = Workflow.load(OLD)
    assert old.found_version == 0.4
    assert Workflow.load(old.save()).found_version == 1
    assert Workflow.load({"nodes": []}).found_version == 0.4


@pytest.mark.parametrize(
    "links",
    [
        [None, 3, "x", [], [1], [1, 2, 3, 4]],
        [[1, 1, 0, 2, 0]],
        [[1, 1, 0, 2, 0, "IMAGE", "more", {"and": "more"}]],
        [{"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "IMAGE", "x": 1}],
        [[1, 1, 0, 2, 0, "IMAGE"], [1, 3, 0, 2, 0, "IMAGE"]],
        [[[1], 1, 0, 2, 0, "IMAGE"]],
    ],
)
def test_odd_links_survive_the_way_through_both_schemas(links: list[Any]) -> None:
    document = {"nodes": [], "links": links, "extra": {"linkExtensions": [{"id": 1, "parentId": 7, "x": 2}]}}
    workflow = Workflow.load(document)
    for version in (0.4, 1):
        assert Workflow.load(workflow.save(version)) == workflow


@pytest.mark.parametrize(
    "extra",
    [
        {"reroutes": [], "linkExtensions": []},
        {"linkExtensions": [{"id": 1, "parentId": 2}, {"id": 99, "parentId": 1}, None, {"id": 1, "type": "x"}]},
        {"reroutes": "text", "linkExtensions": {"a": 1}},
        None,
    ],
)
def test_extensions_without_a_link_stay_where_they_were(extra: Any) -> None:
    document = {"nodes": [], "links": [[1, 1, 0, 2, 0, "IMAGE"]], "extra": extra, "version": 0.4}
    workflow = Workflow.load(document)
    assert workflow.save(0.4) == document
    assert Workflow.load(workflow.save(1)) == workflow


@pytest.mark.parametrize(
    "more",
    [
        {"state": {"lastGroupId": 4}, "last_node_id": 3},
        {"state": {"lastNodeId": 4}, "last_node_id": 3},
        {"state": 7, "last_node_id": 3},
        {"reroutes": [{"id": 1}], "extra": {"reroutes": [{"id": 2}]}},
    ],
)
def test_files_that_mix_the_schemas_keep_both_values(more: dict[str, Any]) -> None:
    document = {"nodes": [], "links": [], "version": 0.4, **more}
    workflow = Workflow.load(document)
    assert workflow.save(0.4) == document
    assert Workflow.load(workflow.save(1)) == workflow


@pytest.mark.parametrize("value", [[], 3, None, {"nodes": {}}, {"nodes": [3]}, {"nodes": [], "links": {}}])
def test_what_is_no_workflow_is_refused(value: Any) -> None:
    with pytest.raises(GraphError) as caught:
        Workflow.load(value)
    assert caught.value.code == "bad_workflow"


def test_other_schemas_cannot_be_saved() -> None:
    with pytest.raises(GraphError) as caught:
        Workflow.load(OLD).save(version=2)
    assert caught.value.code == "bad_version"


def test_a_workflow_is_told_from_a_prompt() -> None:
    assert is_workflow(OLD)
    assert not is_workflow({"1": {"class_type": "X"}})
