"""How long graphs take, by size. Prints a table; asserts only that the cost grows with the size and not faster."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from engine.graph.compile import compile_workflow
from engine.graph.fingerprint import addresses
from engine.graph.json_text import load_json
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.validate import validate
from engine.graph.workflow import Workflow
from tests.reference_catalog import reference_catalog

SIZES = (1000, 10_000)
REPEATS = {1000: 5, 10_000: 3}
CATALOG = reference_catalog()
SPECS = {name: CATALOG[name] for name in CATALOG}


def chain(count: int) -> dict[str, Any]:
    """EmptyImage → ImageScale × n → SaveImage, each scale with its own width."""
    nodes: list[dict[str, Any]] = []
    for i in range(count):
        kind = "EmptyImage" if i == 0 else "SaveImage" if i == count - 1 else "ImageScale"
        values: dict[str, list[Any]] = {
            "EmptyImage": [64, 64, 1, 0],
            "ImageScale": ["bilinear", i % 1000 + 1, 10, "disabled"],
            "SaveImage": ["x"],
        }
        name = "images" if kind == "SaveImage" else "image"
        nodes.append(
            {
                "id": i,
                "type": kind,
                "pos": [i, 0],
                "size": [200, 100],
                "flags": {},
                "order": i,
                "mode": 0,
                "inputs": [{"name": name, "type": "IMAGE", "link": i}] if i else [],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [i + 1]}],
                "properties": {"Node name for S&R": kind},
                "widgets_values": values[kind],
            }
        )
    links = [[i, i - 1, 0, i, 0, "IMAGE"] for i in range(1, count)]
    return {"nodes": nodes, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}


def fan(count: int) -> dict[str, Any]:
    """One EmptyImage into n SaveImages."""
    document = chain(count)
    for i, node in enumerate(document["nodes"][1:], 1):
        node.update(type="SaveImage", widgets_values=[f"x{i}"], inputs=[{"name": "images", "type": "IMAGE", "link": i}])
    document["links"] = [[i, 0, 0, i, 0, "IMAGE"] for i in range(1, count)]
    return document


def best_ms(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best * 1000, result


def measure(document: dict[str, Any], repeats: int) -> dict[str, float]:
    times: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        times[name], result = best_ms(work, repeats)
        return result

    text = json.dumps(document)
    value = step("read json", lambda: load_json(text))
    workflow = step("load", lambda: Workflow.load(value))
    graph = step("compile", lambda: compile_workflow(workflow, CATALOG, rng=Random(0)))
    found = step("validate", lambda: validate(graph, CATALOG, list_files=lambda choices: []))
    assert found.complaints == ()
    assert len(found.reached) == len(document["nodes"])
    step("addresses", lambda: addresses(found.graph, SPECS))
    prompt = step("write prompt", lambda: to_prompt(graph))
    step("parse prompt", lambda: parse_prompt(prompt))
    return times


@pytest.mark.parametrize("shape", [chain, fan])
def test_the_cost_of_a_graph_is_linear_in_its_nodes(shape: Callable[[int], dict[str, Any]]) -> None:
    tables = {size: measure(shape(size), REPEATS[size]) for size in SIZES}
    small, large = (tables[size] for size in SIZES)
    growth = SIZES[1] / SIZES[0]
    print(f"\n{shape.__name__:14}" + "".join(f"{size:>12} nodes" for size in SIZES) + "    growth per node")
    for name in small:
        ratio = large[name] / small[name] / growth
        print(f"{name:14}" + "".join(f"{tables[size][name]:>15.1f} ms" for size in SIZES) + f"{ratio:>15.2f}")
    total = {size: tables[size]["compile"] + tables[size]["validate"] for size in SIZES}
    print(f"{'compile+valid.':14}" + "".join(f"{total[size]:>15.1f} ms" for size in SIZES))
    assert sum(large.values()) < 4 * growth * sum(small.values())
