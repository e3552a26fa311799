"""Compilation: the recorded conversions of two editors, and what goes beyond them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import pytest

from engine.core.errors import GraphError
from engine.core.ids import NodeId
from engine.graph.compile import compile_workflow
from engine.graph.graph import Graph
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.schema import Catalog, InputSpec, NodeSpec
from engine.graph.workflow import Workflow
from tests.reference_catalog import REFERENCE, reference_catalog

NOW = datetime(2024, 1, 2, 15, 4, 5)


def _cases() -> dict[str, dict[str, Any]]:
    with (REFERENCE / "conversion_cases.jsonl").open(encoding="utf-8") as stream:
        return {case["case"]: case for case in map(json.loads, stream)}


CASES = _cases()
IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}

# Where the editor is not to be followed: case → (why, the wanted prompt).
OWN_RESULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "wv dict": (
        "the editor ignores values by name and takes defaults; they are read",
        {
            "2": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": 9, "steps": 3, "cfg": 1.5, "sampler_name": "ddim", "scheduler": "karras", "denoise": 0.5,
                },
            }
        },
    ),
    "unknown node": (
        "the editor drops the class name and makes up an input; the name is kept so that validation can tell it",
        {
            **CASES["unknown node"]["editor_1_58"],
            "2": {"class_type": "NoSuchNode", "inputs": {"image": ["1", 0]}},
        },
    ),
    "link obj in 0.4": (
        "the editor ignores object links in old files; they are read",
        {"1": IMAGE, "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}}},
    ),
    "sg passthrough": (
        "the editor throws on a subgraph input wired straight to an output; it passes through",
        {"1": IMAGE, "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}}},
    ),
    "group node": (
        "the newer editor renumbers on load; ids stay those of the instance, as in the older one",
        CASES["group node"]["editor_1_27"],
    ),
    "group node slash": (
        "the newer editor renumbers on load; ids stay those of the instance, as in the older one",
        CASES["group node slash"]["editor_1_27"],
    ),
}  # fmt: skip


def compiled(workflow: dict[str, Any], seed: int = 0, **more: Any) -> Graph:
    return compile_workflow(Workflow.load(workflow), reference_catalog(), rng=Random(seed), now=NOW, **more)


def plain(graph: Graph) -> dict[str, Any]:
    return {key: {k: v for k, v in node.items() if k != "_meta"} for key, node in to_prompt(graph).items()}


@pytest.mark.parametrize("name", [name for name in CASES if name not in OWN_RESULTS])
def test_a_recorded_workflow_compiles_to_what_the_editor_sent(name: str) -> None:
    assert plain(compiled(CASES[name]["workflow"])) == CASES[name]["editor_1_58"]


@pytest.mark.parametrize("name", OWN_RESULTS)
def test_documented_faults_of_the_editor_are_not_copied(name: str) -> None:
    found = plain(compiled(CASES[name]["workflow"]))
    assert found == OWN_RESULTS[name][1]
    assert found != CASES[name]["editor_1_58"]


@pytest.mark.parametrize("name", ["group node", "group node slash"])
def test_group_nodes_differ_from_the_newer_editor_in_their_ids_only(name: str) -> None:
    text = json.dumps(plain(compiled(CASES[name]["workflow"])), sort_keys=True)
    renamed = text.replace('"7:0"', '"102:100"').replace('"7:1"', '"102:101"')
    assert json.loads(renamed) == CASES[name]["editor_1_58"]


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_graph_survives_the_way_through_a_prompt_file(name: str) -> None:
    graph = compiled(CASES[name]["workflow"])
    assert parse_prompt(json.loads(json.dumps(to_prompt(graph)))) == graph


@pytest.mark.parametrize("name", CASES)
def test_both_schemas_of_a_workflow_compile_to_the_same_graph(name: str) -> None:
    workflow = Workflow.load(CASES[name]["workflow"])
    assert compiled(workflow.save(0.4)) == compiled(workflow.save(1)) == compiled(CASES[name]["workflow"])


# ------------------------------------------------------------------ beyond the recorded cases


def node(
    node_id: Any, kind: str, values: Any = None, inputs: Any = (), outputs: Any = (), **more: Any
) -> dict[str, Any]:
    """inputs: (name, type, link or None[, widget]); outputs: types."""
    record = {
        "id": node_id,
        "type": kind,
        "inputs": [
            {"name": i[0], "type": i[1], "link": i[2], **({"widget": {"name": i[3]}} if len(i) > 3 else {})}
            for i in inputs
        ],
        "outputs": [{"name": t, "type": t} for t in outputs],
        **more,
    }
    return record if values is None else {**record, "widgets_values": values}


def workflow(nodes: list[Any], links: list[Any], **more: Any) -> dict[str, Any]:
    return {"nodes": nodes, "links": links, "version": 0.4, **more}


def empty(node_id: Any = 1, **more: Any) -> dict[str, Any]:
    return node(node_id, "EmptyImage", [64, 64, 1, 0], outputs=["IMAGE"], **more)


def save(node_id: Any, link: Any, prefix: str = "x", **more: Any) -> dict[str, Any]:
    return node(node_id, "SaveImage", [prefix], [("images", "IMAGE", link)], **more)


def test_titles_are_those_of_the_file_or_the_node_type() -> None:
    graph = compiled(workflow([empty(title="Canvas"), save(3, None)], []))
    assert (graph["1"].title, graph["3"].title) == ("Canvas", "Save Image")


def test_load_image_buttons_and_three_d_buttons_are_no_values() -> None:
    graph = compiled(
        workflow(
            [
                node(1, "LoadImageMask", ["a.png", "red", "image"]),
                node(2, "Load3D", ["m.glb", "upload3dmodel", "uploadExtraResources", "clear", "", 512, 256]),
                node(3, "WebcamCapture", ["", 7, 8, False, "capture"]),
                node(4, "LoadAudio", ["a.flac", None, ""]),
            ],
            [],
        )
    )
    assert graph["1"].inputs == {"image": "a.png", "channel": "red"}
    assert graph["2"].inputs == {"model_file": "m.glb", "image": "", "width": 512, "height": 256}
    assert graph["3"].inputs == {"image": "", "width": 7, "height": 8, "capture_on_queue": False}
    assert graph["4"].inputs == {"audio": "a.flac"}


def test_values_by_name_reach_a_node_that_takes_every_name() -> None:
    spec = NodeSpec("Any", inputs=(InputSpec("seed", "INT"), InputSpec("image", "IMAGE", "optional")))
    values = {"seed": 3, "image": "no", "lora_1": {"on": True}, "": 1}
    document = Workflow.load(workflow([node(1, "Any", values)], []))
    for any_input, wanted in ((None, {"seed": 3}), (InputSpec("*", "*"), {"seed": 3, "lora_1": {"on": True}})):
        graph = compile_workflow(document, Catalog({"Any": replace(spec, any_input=any_input)}))
        assert dict(graph[NodeId("1")].inputs) == wanted


def test_a_choice_of_files_without_a_value_takes_the_first_file_when_files_can_be_listed() -> None:
    document = workflow([node(1, "CheckpointLoaderSimple")], [])
    assert compiled(document)["1"].inputs == {}
    assert compiled(document, list_files=lambda choices: ["a.safetensors", "b.safetensors"])["1"].inputs == {
        "ckpt_name": "a.safetensors"
    }


def test_a_very_old_boolean_control_value_is_skipped_too() -> None:
    values = [5, True, 20, 8, "euler", "normal", 1]
    assert compiled(workflow([node(2, "KSampler", values)], []))["2"].inputs["steps"] == 20


def test_alternatives_are_drawn_from_the_given_generator() -> None:
    document = workflow([node(3, "CLIPTextEncode", ["{a|b|c|d} {e|f}"])], [])
    texts = {compiled(document, seed)["3"].inputs["text"] for seed in range(60)}
    assert texts == {f"{x} {y}" for x in "abcd" for y in "ef"}
    assert compiled(document, 5) == compiled(document, 5)


def test_file_names_take_the_date_and_widget_values() -> None:
    document = workflow(
        [
            node(1, "KSampler", [7, "fixed", 20, 8.5, "euler", "normal", 1], properties={"Node name for S&R": "KS"}),
            save(2, None, "%date:yyyy-MM-dd_hhmmss%/%KS.seed%_%KS.cfg%_%KS.nope%_%width%"),
            node(3, "CheckpointSave", ["%KS.seed%"]),
        ],
        [],
    )
    graph = compiled(document)
    assert graph["2"].inputs["filename_prefix"] == "2024-01-02_150405/7_8.5_%KS.nope%_%width%"
    assert graph["3"].inputs["filename_prefix"] == "%KS.seed%"


def test_primitive_text_is_left_alone_unless_it_asks_for_replacement() -> None:
    def document(properties: dict[str, Any]) -> dict[str, Any]:
        primitive = node(1, "PrimitiveNode", ["%My.width%{a|a}"], outputs=["STRING"], properties=properties)
        target = node(
            2, "SaveImage", ["x"], [("images", "IMAGE", None), ("filename_prefix", "STRING", 1, "filename_prefix")]
        )
        return workflow([primitive, target, empty(4, title="My")], [[1, 1, 0, 2, 1, "STRING"]])

    assert compiled(document({}))["2"].inputs["filename_prefix"] == "%My.width%{a|a}"
    asked = compiled(document({"Run widget replace on values": True}))
    assert asked["2"].inputs["filename_prefix"] == "64{a|a}"


def subgraph(uuid: str, nodes: list[Any], links: list[Any], inputs: Any = (), outputs: Any = ()) -> dict[str, Any]:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": uuid,
        "name": uuid,
        "inputs": [{"name": n, "type": t} for n, t in inputs],
        "outputs": [{"name": n, "type": t} for n, t in outputs],
        "nodes": nodes,
        "links": [dict(zip(keys, link)) for link in links],
    }


def nested(**instance: Any) -> dict[str, Any]:
    """Save ← instance 2 of "outer" ← its instance 5 of "inner" ← ImageScale 10, whose width is promoted twice."""
    scale = node(
        10,
        "ImageScale",
        ["bilinear", 111, 222, "disabled"],
        [("image", "IMAGE", 1), ("width", "INT", 2, "width")],
        ["IMAGE"],
    )
    inner = subgraph(
        "inner",
        [scale],
        [[1, -10, 0, 10, 0, "IMAGE"], [2, -10, 1, 10, 1, "INT"], [3, 10, 0, -20, 0, "IMAGE"]],
        [("image", "IMAGE"), ("w", "INT")],
        [("IMAGE", "IMAGE")],
    )
    inside = node(5, "inner", instance.pop("inside", None), [("image", "IMAGE", 1), ("w", "INT", 2, "w")], ["IMAGE"])
    inside.update(instance.pop("inside_more", {}))
    outer = subgraph(
        "outer",
        [inside],
        [[1, -10, 0, 5, 0, "IMAGE"], [2, -10, 1, 5, 1, "INT"], [3, 5, 0, -20, 0, "IMAGE"]],
        [("image", "IMAGE"), ("width", "INT")],
        [("IMAGE", "IMAGE")],
    )
    top = node(2, "outer", instance.pop("values", None), [("image", "IMAGE", 1)], ["IMAGE"], **instance)
    return workflow(
        [empty(), top, save(3, 2)],
        [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
        definitions={"subgraphs": [outer, inner]},
    )


def test_nested_subgraphs_give_ids_that_are_paths() -> None:
    graph = compiled(nested())
    assert list(graph.nodes) == ["1", "3", "2:5:10"]
    assert plain(graph)["3"]["inputs"]["images"] == ["2:5:10", 0]
    assert plain(graph)["2:5:10"]["inputs"]["image"] == ["1", 0]


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({}, 111),
        ({"inside": [222]}, 222),
        ({"values": [333]}, 333),
        ({"values": [333], "inside": [222]}, 333),
        ({"values": {"width": 444}}, 444),
        ({"values": [555], "properties": {"proxyWidgets": [["5", "w"]]}}, 555),
        ({"values": [555], "properties": {"proxyWidgets": [["-1", "width"]]}}, 555),
        ({"values": [], "properties": {"proxyWidgets": [["5", "w"]]}, "inside": [222]}, 222),
        ({"values": [555], "properties": {"proxyWidgets": []}}, 555),
        ({"inside": [666], "inside_more": {"properties": {"proxyWidgets": [["10", "width"]]}}}, 666),
    ],
)
def test_the_outermost_value_of_a_promoted_widget_counts(changes: dict[str, Any], width: int) -> None:
    assert compiled(nested(**changes))["2:5:10"].inputs["width"] == width


@pytest.mark.parametrize(("mode", "images"), [(4, ["1", 0]), (2, None)])
def test_nothing_inside_a_switched_off_instance_is_emitted_at_any_depth(mode: int, images: Any) -> None:
    for document in (nested(mode=mode), nested(inside_more={"mode": mode})):
        found = plain(compiled(document))
        assert set(found) == {"1", "3"}
        assert found["3"]["inputs"].get("images") == images


def test_a_subgraph_that_contains_itself_is_refused() -> None:
    document = nested()
    document["definitions"]["subgraphs"][1]["nodes"].append(node(99, "outer"))
    with pytest.raises(GraphError) as caught:
        compiled(document)
    assert caught.value.code == "subgraph_cycle"


def test_an_unfolding_that_doubles_at_every_level_is_refused() -> None:
    levels = [subgraph(f"s{i}", [node(1, f"s{i + 1}"), node(2, f"s{i + 1}")], []) for i in range(40)]
    with pytest.raises(GraphError) as caught:
        compiled(workflow([node(1, "s0")], [], definitions={"subgraphs": levels}))
    assert caught.value.code == "graph_too_large"


def test_two_nodes_with_one_id_are_refused() -> None:
    with pytest.raises(GraphError) as caught:
        compiled(workflow([empty(1), save("1", None)], []))
    assert caught.value.code == "duplicate_node_id"


@pytest.mark.parametrize("kind", ["Reroute", "ImageInvert"])
def test_reroutes_and_bypassed_nodes_that_feed_themselves_are_refused(kind: str) -> None:
    ring = [node(i, kind, None, [("image", "IMAGE", i)], ["IMAGE"], mode=4) for i in (1, 2)]
    links = [[1, 2, 0, 1, 0, "IMAGE"], [2, 1, 0, 2, 0, "IMAGE"], [3, 1, 0, 5, 0, "IMAGE"]]
    with pytest.raises(GraphError) as caught:
        compiled(workflow([*ring, save(5, 3)], links))
    assert caught.value.code == "cycle"


def test_a_bypassed_node_passes_the_first_input_of_the_wanted_type() -> None:
    blend = node(
        2, "Custom", None, [("a", "MASK", 1), ("b", "IMAGE", 2), ("c", "IMAGE", 3)], ["LATENT", "IMAGE"], mode=4
    )
    sources = [empty(i) for i in (11, 12, 13)]
    links = [[i, 10 + i, 0, 2, i - 1, "IMAGE"] for i in (1, 2, 3)] + [
        [4, 2, 0, 5, 0, "IMAGE"],
        [5, 2, 1, 6, 0, "IMAGE"],
    ]
    found = plain(compiled(workflow([*sources, blend, save(5, 4), save(6, 5)], links)))
    assert found["5"]["inputs"]["images"] == ["12", 0]
    assert found["6"]["inputs"]["images"] == ["12", 0]


def test_a_group_node_with_inputs_passes_its_links_inside() -> None:
    inner = {"type": "ImageInvert", "inputs": [{"name": "image", "type": "IMAGE"}], "outputs": [{"type": "IMAGE"}]}
    group = {
        "nodes": [{**inner, "index": 0}, {**inner, "index": 1}],
        "links": [[0, 0, 1, 0, None, "IMAGE"]],
        "external": [],
    }
    document = workflow(
        [empty(), node(7, "workflow>G", None, [("ImageInvert image", "IMAGE", 1)], ["IMAGE"]), save(3, 2)],
        [[1, 1, 0, 7, 0, "IMAGE"], [2, 7, 0, 3, 0, "IMAGE"]],
        extra={"groupNodes": {"G": group}},
    )
    found = plain(compiled(document))
    assert found["7:0"]["inputs"] == {"image": ["1", 0]}
    assert found["7:1"]["inputs"] == {"image": ["7:0", 0]}
    assert found["3"]["inputs"]["images"] == ["7:1", 0]


def test_compilation_leaves_the_document_alone() -> None:
    for case in CASES.values():
        before = copy.deepcopy(case["workflow"])
        compiled(case["workflow"])
        assert case["workflow"] == before
