"""Laws of documents, compilation, validation and addresses, on generated values."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.graph.compile import compile_workflow
from engine.graph.fingerprint import addresses
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.json_text import load_json
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.topology import ancestors, find_cycles, partial_order
from engine.graph.validate import validate
from engine.graph.workflow import Workflow
from tests.reference_catalog import reference_catalog

CATALOG = reference_catalog()
SPECS = {name: CATALOG[name] for name in CATALOG}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
keys = st.text(max_size=4)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
seeds = st.integers(0, 1 << 32)
ids = st.integers(0, 6) | st.sampled_from(["a", "b:1", "0"])
link_arrays = st.tuples(
    ids, ids, st.integers(0, 3), ids, st.integers(0, 3), st.sampled_from(["IMAGE", "*", ["a"]])
).map(list)
link_objects = st.builds(
    lambda link, more: {
        **more,
        **dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link)),
    },
    link_arrays,
    st.dictionaries(st.sampled_from(["parentId", "x"]), json_values, max_size=2),
)
extras = st.dictionaries(st.sampled_from(["ds", "x"]), json_values).flatmap(
    lambda base: st.builds(
        lambda reroutes, extensions: {**base, **reroutes, **extensions},
        st.dictionaries(st.just("reroutes"), json_values, max_size=1),
        st.dictionaries(
            st.just("linkExtensions"),
            st.lists(st.fixed_dictionaries({"id": ids, "parentId": st.integers(0, 3)}) | json_values, max_size=4),
            max_size=1,
        ),
    )
)
documents = st.builds(
    lambda base, parts: {**base, **parts},
    st.dictionaries(keys, json_values, max_size=3),
    st.fixed_dictionaries(
        {"nodes": st.lists(st.dictionaries(keys, json_values, max_size=3), max_size=3)},
        optional={
            "links": st.lists(link_arrays | link_objects | json_values, max_size=4),
            "extra": extras | st.none(),
            "version": st.sampled_from([0.4, 1, 0.3, None, "0.4"]),
            "last_node_id": json_values,
            "last_link_id": json_values,
            "state": json_values,
            "reroutes": json_values,
            "groups": st.lists(json_values, max_size=2),
            "definitions": st.dictionaries(keys, json_values, max_size=2),
        },
    ),
)


@given(documents)
@settings(max_examples=150, deadline=None)
def test_saving_and_loading_is_the_identity_in_both_schemas(document: dict[str, Any]) -> None:
    workflow = Workflow.load(document)
    for version in (0.4, 1):
        assert Workflow.load(json.loads(json.dumps(workflow.save(version)))) == workflow


@given(documents)
@settings(max_examples=120, deadline=None)
def test_every_value_of_a_document_is_still_there_after_saving(document: dict[str, Any]) -> None:
    def leaves(value: Any) -> Counter[str]:
        found, waiting = [], [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict):
                waiting.extend(item.values())
            elif isinstance(item, list):
                waiting.extend(item)
            elif item is not None:
                found.append(repr(item))
        return Counter(found)

    document.pop("version", None)
    saved = Workflow.load(document).save(0.4)
    assert not leaves(document) - leaves(saved)


# ------------------------------------------------------------------ graphs

NAMES = ("EmptyImage", "ImageInvert", "ImageBlend", "SaveImage", "PrimitiveInt")


@st.composite
def prompts(draw: st.DrawFn, acyclic: bool = True) -> dict[str, Any]:
    """A prompt of a few image nodes; sources come earlier when acyclic."""
    count = draw(st.integers(1, 8))
    prompt: dict[str, Any] = {}
    for position in range(count):
        spec = SPECS[draw(st.sampled_from(NAMES))]
        inputs: dict[str, Any] = {}
        for item in spec.visible_inputs:
            if not item.is_widget:
                top = position - 1 if acyclic else count - 1
                if top >= 0 and draw(st.booleans()):
                    inputs[item.name] = [str(draw(st.integers(0, top))), 0]
            elif draw(st.integers(0, 9)):
                inputs[item.name] = draw(scalars) if draw(st.booleans()) else item.options.get("default", 1)
        prompt[str(position)] = {"class_type": spec.name, "inputs": inputs}
    return prompt


@given(prompts(), seeds)
@settings(max_examples=120, deadline=None)
def test_addresses_ignore_ids_titles_and_the_order_of_keys(prompt: dict[str, Any], seed: int) -> None:
    rng = Random(seed)
    names = dict(zip(prompt, rng.sample(range(1000), len(prompt))))
    names = {node: f"n{number}" for node, number in names.items()}

    def renamed(value: Any) -> Any:
        return [names[value[0]], value[1]] if isinstance(value, list) else value

    order = rng.sample(list(prompt), len(prompt))
    other = {
        names[node]: {
            "_meta": {"title": f"t{rng.random()}"},
            "inputs": {
                name: renamed(prompt[node]["inputs"][name])
                for name in rng.sample(list(prompt[node]["inputs"]), len(prompt[node]["inputs"]))
            },
            "class_type": prompt[node]["class_type"],
        }
        for node in order
    }
    first, second = addresses(parse_prompt(prompt), SPECS), addresses(parse_prompt(other), SPECS)
    assert {names[node]: address for node, address in first.items()} == second


@given(prompts(), st.data())
@settings(max_examples=120, deadline=None)
def test_a_changed_constant_changes_exactly_the_nodes_it_reaches(prompt: dict[str, Any], data: st.DataObject) -> None:
    graph = parse_prompt(prompt)
    node = data.draw(st.sampled_from(list(prompt)))
    spec = SPECS[prompt[node]["class_type"]]
    widgets = [item.name for item in spec.widgets if not isinstance(prompt[node]["inputs"].get(item.name), list)]
    if not widgets:
        return
    name = data.draw(st.sampled_from(widgets))
    inputs = {**graph[node].inputs, name: "a value no other case has"}
    changed = Graph({**graph.nodes, node: GraphNode(graph[node].id, graph[node].type, inputs)})
    before, after = addresses(graph, SPECS), addresses(changed, SPECS)
    assert {n for n in prompt if before[n] != after[n]} == {n for n in prompt if node in ancestors(graph, [n])}


@given(prompts(acyclic=False))
@settings(max_examples=150, deadline=None)
def test_validation_is_idempotent_and_its_targets_are_sound(prompt: dict[str, Any]) -> None:
    graph = parse_prompt(prompt)
    first = validate(graph, CATALOG, list_files=lambda choices: [])
    second = validate(first.graph, CATALOG, list_files=lambda choices: [])
    assert second.graph == first.graph
    assert [c.code for c in second.complaints] == [c.code for c in first.complaints]
    faulty = {complaint.node for complaint in first.complaints}
    for target in first.targets:
        assert not faulty & ancestors(graph, [target])
    again = validate(first.graph, CATALOG, list_files=lambda choices: [], targets=first.targets)
    assert again.complaints == () or not first.targets


@given(prompts(acyclic=False))
@settings(max_examples=150, deadline=None)
def test_the_partial_order_and_the_cycles_account_for_every_node(prompt: dict[str, Any]) -> None:
    graph = parse_prompt(prompt)
    order = partial_order(graph)
    position = {node: index for index, node in enumerate(order)}
    for node in order:
        assert all(position[link.node] < position[node] for _, link in graph[node].links())
    cycles = find_cycles(graph)
    assert bool(cycles) == (len(order) < len(graph))
    on_cycles = {node for cycle in cycles for node in cycle}
    for node in set(graph.nodes) - set(order):
        assert on_cycles & ancestors(graph, [node])
    for cycle in cycles:
        for source, consumer in zip(cycle, (*cycle[1:], cycle[0])):
            assert source in [link.node for _, link in graph[consumer].links()]


@given(st.dictionaries(st.text(max_size=4), st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=4))
@settings(max_examples=120, deadline=None)
def test_prompts_survive_the_way_through_a_graph(inputs: dict[str, Any]) -> None:
    prompt = {key: {"class_type": "X", "inputs": value} for key, value in inputs.items()}
    graph = parse_prompt(load_json(json.dumps(prompt)))
    assert parse_prompt(to_prompt(graph)) == graph


@given(json_values)
@settings(max_examples=120, deadline=None)
def test_json_text_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    assert load_json(json.dumps(value)) == value
    assert load_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()) is not ...


@st.composite
def editor_graphs(draw: st.DrawFn) -> dict[str, Any]:
    """A small workflow of image nodes, reroutes and modes, with links that may dangle."""
    count = draw(st.integers(1, 7))
    nodes, links = [], []
    for position in range(count):
        kind = draw(st.sampled_from(["EmptyImage", "ImageInvert", "Reroute", "SaveImage", "Nope"]))
        inputs = []
        if kind != "EmptyImage" and position and draw(st.booleans()):
            link = len(links) + 1
            links.append([link, draw(st.integers(0, position - 1)), 0, position, 0, "IMAGE"])
            inputs.append({"name": "images" if kind == "SaveImage" else "image", "type": "IMAGE", "link": link})
        nodes.append(
            {
                "id": position,
                "type": kind,
                "pos": [draw(st.integers(0, 9)), 0],
                "mode": draw(st.sampled_from([0, 0, 0, 1, 2, 4])),
                "inputs": inputs,
                "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
                "widgets_values": draw(st.none() | st.lists(scalars, max_size=4)),
            }
        )
    return {"nodes": nodes, "links": links, "version": 0.4}


@given(editor_graphs(), seeds)
@settings(max_examples=150, deadline=None)
def test_compilation_is_repeatable_and_blind_to_positions_and_file_order(document: dict[str, Any], seed: int) -> None:
    rng = Random(seed)

    def compiled(value: dict[str, Any]) -> Graph:
        return compile_workflow(Workflow.load(value), CATALOG, rng=Random(0))

    graph = compiled(document)
    shuffled = {
        **document,
        "nodes": [{**node, "pos": [rng.random(), 0]} for node in rng.sample(document["nodes"], len(document["nodes"]))],
        "links": rng.sample(document["links"], len(document["links"])),
    }
    assert compiled(document) == graph
    assert dict(compiled(shuffled).nodes) == dict(graph.nodes)
    for node in graph.nodes.values():
        assert all(isinstance(value, Link) is False or value.node in graph for value in node.inputs.values())
