"""Damaged and malicious graphs: only typed errors, nothing slow, nothing deep."""

from __future__ import annotations

import copy
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from engine.core.errors import GraphError
from engine.graph.compile import compile_workflow
from engine.graph.embedded import read_graph_file
from engine.graph.fingerprint import addresses, file_dependencies
from engine.graph.json_text import load_json
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.validate import Validation, validate
from engine.graph.workflow import Workflow
from tests.reference_catalog import REFERENCE, reference_catalog

CATALOG = reference_catalog()
SPECS = {name: CATALOG[name] for name in CATALOG}
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 64, 10**300, 1.5, math.nan, math.inf, "", "abc", "\0", "\ud800", "__proto__", "constructor",
    [], {}, [[]], ["1"], ["1", 0], ["1", -1], ["999", 0], [1, 0], ["1", "0"], ["1", 10**30], {"__value__": []},
    {"__value__": {"__value__": 1}}, {"": {"": {}}}, "x" * 5000, "{" * 300, "../../etc/passwd", "%date:yyyy%",
    [None] * 50,
)  # fmt: skip


def cases() -> list[dict[str, Any]]:
    with (REFERENCE / "conversion_cases.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def real_prompts() -> list[dict[str, Any]]:
    """The recorded prompts that save a picture."""
    found = [case["editor_1_58"] for case in cases() if "error" not in case["editor_1_58"]]
    return [prompt for prompt in found if any(node.get("class_type") == "SaveImage" for node in prompt.values())]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        pairs: Iterator[tuple[Any, Any]] = iter(item.items() if isinstance(item, dict) else enumerate(item))
        for key, inner in pairs:
            found.append((item, key))
            if isinstance(inner, (dict, list)):
                waiting.append(inner)
    return found


def mutated(value: Any, rng: Random) -> Any:
    """A copy with one to four places replaced, removed, renamed or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 4)):
        spots = places(value)
        if not spots:
            return value
        holder, key = rng.choice(spots)
        action = rng.randrange(4)
        if action == 0:
            holder[key] = copy.deepcopy(rng.choice(JUNK))
        elif action == 1:
            del holder[key]
        elif action == 2 and isinstance(holder, dict):
            holder[rng.choice(["", "1", "inputs", "class_type", "x", "__proto__"])] = holder.pop(key)
        else:
            other, other_key = rng.choice(spots)
            try:
                holder[key] = copy.deepcopy(other[other_key])
            except (KeyError, IndexError):
                continue
    return value


def run_prompt(value: Any) -> Validation:
    graph = parse_prompt(load_json(json.dumps(value)))
    validation = validate(graph, CATALOG, list_files=lambda choices: ["a.png"])
    json.dumps([complaint.to_json() for complaint in validation.complaints], allow_nan=False)
    json.dumps([complaint.extra for complaint in validation.complaints], allow_nan=False)
    addresses(validation.graph, SPECS)
    file_dependencies(validation.graph, SPECS)
    assert parse_prompt(to_prompt(graph)).nodes.keys() == graph.nodes.keys()
    return validation


def outcomes(values: Iterator[Any], run: Callable[[Any], Any]) -> tuple[Counter[str], float]:
    """How often each kind of outcome came up, and the longest time one value took."""
    counts: Counter[str] = Counter()
    slowest = 0.0
    for value in values:
        start = time.process_time()
        try:
            found = run(value)
        except GraphError as error:
            counts[error.code] += 1
        else:
            is_fit = not isinstance(found, Validation) or found.can_run
            counts["fit" if is_fit else "unfit"] += 1
        slowest = max(slowest, time.process_time() - start)
    return counts, slowest


def test_ten_thousand_mutated_prompts_give_typed_errors_or_complaints_only() -> None:
    rng = Random(20240917)
    originals = real_prompts()
    counts, slowest = outcomes((mutated(rng.choice(originals), rng) for _ in range(10_000)), run_prompt)
    assert sum(counts.values()) == 10_000
    assert counts["fit"] > 300
    assert counts["unfit"] > 2000
    assert counts["bad_prompt"] > 100
    assert set(counts) == {"fit", "unfit", "bad_prompt"}
    assert slowest < 1.0


def test_three_thousand_mutated_workflows_give_typed_errors_or_graphs_only() -> None:
    rng = Random(7)
    originals = [case["workflow"] for case in cases()]

    def run(value: Any) -> Validation:
        workflow = Workflow.load(load_json(json.dumps(value)))
        for version in (0.4, 1):
            Workflow.load(workflow.save(version))
        graph = compile_workflow(workflow, CATALOG, rng=Random(0))
        return run_prompt(to_prompt(graph))

    counts, slowest = outcomes((mutated(rng.choice(originals), rng) for _ in range(3000)), run)
    assert sum(counts.values()) == 3000
    assert counts["fit"] > 500
    assert counts["unfit"] > 500
    assert set(counts) <= {"fit", "unfit", "bad_workflow", "duplicate_node_id", "cycle", "subgraph_cycle"}
    assert slowest < 1.0


def test_two_thousand_mutated_texts_are_read_or_refused() -> None:
    rng = Random(3)
    texts = [json.dumps(case["workflow"]).encode() for case in cases()]

    def scrambled() -> bytes:
        data = bytearray(rng.choice(texts))
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(4)] = bytes(rng.choice(b'{}[]",:\\0aeN\xff') for _ in range(rng.randrange(4)))
        return bytes(data)

    def run(data: bytes) -> None:
        found = read_graph_file(data)
        if found.workflow is not None:
            compile_workflow(found.workflow, CATALOG, rng=Random(0))

    counts, slowest = outcomes((scrambled() for _ in range(2000)), run)
    assert sum(counts.values()) == 2000
    assert counts["bad_json"] > 500
    assert slowest < 1.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 100_000, "json_too_deep"),
        ("[" * 100_000 + "]" * 100_000, "json_too_deep"),
        ('{"1":' * 100_000 + "1" + "}" * 100_000, "json_too_deep"),
        ('{"1": {"inputs": ' + "[" * 500 + "]" * 500 + "}}", "json_too_deep"),
        ("1" * 1_000_000, "json_number"),
        ('"' + "\\" * 9_999_999, "bad_json"),
        ('"' + '\\"' * 5_000_000, "bad_json"),
        ('{"a' + "x" * 10_000_000, "bad_json"),
        ("{}" * 1_000_000, "bad_json"),
        ("]" * 1_000_000 + "[" * 1_000_000, "bad_json"),
    ],
)
def test_hostile_text_is_refused_in_linear_time(text: str, code: str) -> None:
    start = time.process_time()
    with pytest.raises(GraphError) as caught:
        load_json(text)
    assert caught.value.code == code
    assert time.process_time() - start < 2.0


def picture(**inputs: Any) -> dict[str, Any]:
    values = {"width": 64, "height": 64, "batch_size": 1, "color": 0, **inputs}
    return {
        "1": {"class_type": "EmptyImage", "inputs": values},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def codes(prompt: dict[str, Any]) -> set[str]:
    return {complaint.code for complaint in run_prompt(prompt).complaints}


def test_ten_megabyte_strings_are_quickly_named_or_accepted() -> None:
    long = "x" * 10_000_000
    start = time.process_time()
    assert codes(picture(width=long)) == {"invalid_input_type"}
    assert codes(picture(width="9" * 10_000_000)) == {"invalid_input_type"}
    accepted = picture()
    accepted["2"]["inputs"]["filename_prefix"] = long
    assert codes(accepted) == set()
    assert codes({**picture(), "3": {"class_type": long, "inputs": {}}}) == {"unknown_node"}
    choice = {"1": {"class_type": "LoadImage", "inputs": {"image": long}}}
    choice["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    assert codes(choice) == {"custom_validation_failed"}
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("name", ["__proto__", "constructor", "", "\0", "a" * 10_000, "\ud800", "../x", "1:2:3", "0.0"])
def test_odd_ids_and_input_names_are_ordinary_text(name: str) -> None:
    prompt = {
        name: picture()["1"],
        "save": {"class_type": "SaveImage", "inputs": {"images": [name, 0], "filename_prefix": "x", name: 1}},
    }
    assert codes(prompt) == set()


def test_a_node_linked_to_itself_and_long_cycles_are_named() -> None:
    for length in (1, 2, 3, 50, 10_000):
        prompt = {
            str(i): {"class_type": "ImageInvert", "inputs": {"image": [str((i + 1) % length), 0]}}
            for i in range(length)
        }
        prompt["save"] = {"class_type": "SaveImage", "inputs": {"images": ["0", 0], "filename_prefix": "x"}}
        (complaint,) = run_prompt(prompt).complaints
        assert complaint.code == "cycle"
        assert len(complaint.extra["nodes"]) == length
        assert len(complaint.message) < 500


def test_chains_and_fans_of_ten_thousand_nodes_compile_and_validate() -> None:
    count = 10_000
    chain = [editor_node(0, "EmptyImage", None)]
    chain += [editor_node(i, "ImageInvert", i) for i in range(1, count - 1)] + [
        editor_node(count - 1, "SaveImage", count - 1)
    ]
    links = [[i, i - 1, 0, i, 0, "IMAGE"] for i in range(1, count)]
    assert run_editor(chain, links).targets == (str(count - 1),)
    fan = [editor_node(0, "EmptyImage", None)] + [editor_node(i, "SaveImage", i) for i in range(1, count)]
    assert len(run_editor(fan, [[i, 0, 0, i, 0, "IMAGE"] for i in range(1, count)]).targets) == count - 1


@pytest.mark.parametrize(("kind", "mode"), [("Reroute", 0), ("ImageInvert", 4)])
def test_ten_thousand_savers_behind_ten_thousand_reroutes_share_the_walk(kind: str, mode: int) -> None:
    count = 10_000
    nodes = [editor_node(0, "EmptyImage", None)]
    nodes += [{**editor_node(i, kind, i), "mode": mode} for i in range(1, count)]
    nodes += [editor_node(count + i, "SaveImage", count + i) for i in range(count)]
    links = [[i, i - 1, 0, i, 0, "IMAGE"] for i in range(1, count)]
    links += [[count + i, count - 1, 0, count + i, 0, "IMAGE"] for i in range(count)]
    validation = run_editor(nodes, links)
    assert len(validation.targets) == count
    assert len(validation.graph) == count + 1


def test_a_hundred_thousand_nodes_are_read_and_checked() -> None:
    prompt = {str(i): {"class_type": "PrimitiveInt", "inputs": {"value": i}} for i in range(100_000)}
    prompt["out"] = {"class_type": "PreviewAny", "inputs": {"source": ["99999", 0]}}
    graph = parse_prompt(prompt)
    assert validate(graph, CATALOG, list_files=lambda choices: []).targets == ("out",)


def test_thousands_of_faulty_nodes_are_all_named() -> None:
    prompt: dict[str, Any] = {}
    for i in range(5000):
        prompt[f"a{i}"] = {"class_type": "EmptyImage", "inputs": {"width": "x"}}
        prompt[f"b{i}"] = {"class_type": f"Nope{i}", "inputs": {}}
        prompt[f"c{i}"] = {"class_type": "SaveImage", "inputs": {"images": [f"a{i}", 0]}}
    start = time.process_time()
    found = validate(parse_prompt(prompt), CATALOG, list_files=lambda choices: [])
    counts = Counter(complaint.code for complaint in found.complaints)
    assert counts == {"unknown_node": 5000, "invalid_input_type": 5000, "required_input_missing": 20_000}
    assert time.process_time() - start < 5.0


def editor_node(node_id: int, kind: str, link: int | None) -> dict[str, Any]:
    name = "images" if kind == "SaveImage" else "image"
    return {
        "id": node_id,
        "type": kind,
        "inputs": [{"name": name, "type": "IMAGE", "link": link}] if link is not None else [],
        "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
    }


def run_editor(nodes: list[Any], links: list[Any]) -> Validation:
    workflow = Workflow.load(load_json(json.dumps({"nodes": nodes, "links": links, "version": 0.4})))
    found = validate(compile_workflow(workflow, CATALOG), CATALOG, list_files=lambda choices: [])
    assert found.complaints == ()
    return found


def test_a_chain_of_subgraphs_deeper_than_the_limit_is_refused_and_below_it_resolved() -> None:
    def document(depth: int) -> dict[str, Any]:
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        levels = []
        for i in range(depth):
            last = i == depth - 1
            inner = editor_node(1, "EmptyImage" if last else f"s{i + 1}", None)
            links = [dict(zip(keys, (1, 1, 0, -20, 0, "IMAGE")))]
            levels.append(
                {"id": f"s{i}", "nodes": [inner], "links": links, "inputs": [], "outputs": [{"name": "IMAGE"}]}
            )
        nodes = [editor_node(1, "s0", None), editor_node(2, "SaveImage", 1)]
        return {"nodes": nodes, "links": [[1, 1, 0, 2, 0, "IMAGE"]], "definitions": {"subgraphs": levels}}

    graph = compile_workflow(Workflow.load(document(60)), CATALOG)
    assert list(graph.nodes) == ["2", ":".join(["1"] * 61)]
    with pytest.raises(GraphError) as caught:
        compile_workflow(Workflow.load(document(10_000)), CATALOG)
    assert caught.value.code == "subgraph_cycle"


def test_long_prompt_texts_are_refused_before_alternatives_are_drawn() -> None:
    node = {"id": 1, "type": "CLIPTextEncode", "widgets_values": ["{}" * 5_000_000]}
    with pytest.raises(GraphError) as caught:
        compile_workflow(Workflow.load({"nodes": [node], "links": []}), CATALOG)
    assert caught.value.code == "text_too_long"
