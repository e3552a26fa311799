"""What the executor adds per node: cold, fully cached, and how both grow."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest

from engine.core.ids import JobId, NodeId
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.events import CallResult, CallsReturned, JobArrived
from engine.execution.executor import Executor
from engine.execution.instructions import FinishJob, RunNode
from engine.graph.fingerprint import addresses
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import InputSpec, NodeSpec, OutputSpec

NUMBER = (InputSpec("a", "INT"), InputSpec("b", "INT"), InputSpec("name", "STRING"), InputSpec("scale", "FLOAT"))
SPECS = {
    "Source": NodeSpec("Source", inputs=NUMBER, outputs=(OutputSpec("v", "INT"),)),
    "Mix": NodeSpec("Mix", inputs=NUMBER, outputs=(OutputSpec("v", "INT"),)),
    "Save": NodeSpec("Save", inputs=(InputSpec("a", "INT"),), is_output_node=True),
}


def widgets(number: int) -> dict[str, Any]:
    return {"b": number, "name": f"node {number}", "scale": 0.5}


def chain(num_nodes: int) -> Graph:
    nodes = {NodeId("0"): GraphNode(NodeId("0"), "Source", widgets(0))}
    for index in range(1, num_nodes - 1):
        inputs = {"a": Link(NodeId(str(index - 1)), 0), **widgets(index)}
        nodes[NodeId(str(index))] = GraphNode(NodeId(str(index)), "Mix", inputs)
    nodes[NodeId("s")] = GraphNode(NodeId("s"), "Save", {"a": Link(NodeId(str(num_nodes - 2)), 0)})
    return Graph(nodes)


def fan(num_nodes: int) -> Graph:
    """One source, many consumers, each saved."""
    nodes = {NodeId("0"): GraphNode(NodeId("0"), "Source", widgets(0))}
    for index in range(1, num_nodes // 2):
        middle, saver = NodeId(f"m{index}"), NodeId(f"s{index}")
        nodes[middle] = GraphNode(middle, "Mix", {"a": Link(NodeId("0"), 0), **widgets(index)})
        nodes[saver] = GraphNode(saver, "Save", {"a": Link(middle, 0)})
    return Graph(nodes)


def run(executor: Executor, job: str, graph: Graph) -> tuple[float, FinishJob]:
    """Processor seconds inside the executor, and how the job ended."""
    targets = tuple(node for node, item in graph.nodes.items() if item.type == "Save")
    event: Any = JobArrived(JobId(job), graph, SPECS, targets)
    waiting: list[RunNode] = []
    spent = 0.0
    while True:
        start = time.thread_time()
        instructions = executor.handle(event)
        spent += time.thread_time() - start
        for instruction in instructions:
            if isinstance(instruction, RunNode):
                waiting.append(instruction)
            elif isinstance(instruction, FinishJob):
                return spent, instruction
        node = waiting.pop().node
        event = CallsReturned(JobId(job), node.id, (CallResult((1,) if node.type != "Save" else ()),))


def measure(make: Any, num_nodes: int) -> tuple[float, float, float]:
    """Best of three, in seconds per node: cold, fully cached, addresses alone."""
    cold, cached, alone = [], [], []
    for attempt in range(3):
        executor = Executor(ArtifactCache(lambda value: 8), {"cpu": 1})
        gc.collect()
        spent, finished = run(executor, "cold", make(num_nodes))
        assert len(finished.ran) == len(make(num_nodes))
        cold.append(spent / num_nodes)
        graph = make(num_nodes)
        gc.collect()
        spent, finished = run(executor, f"cached {attempt}", graph)
        assert finished.ran == ()
        cached.append(spent / num_nodes)
        start = time.thread_time()
        addresses(graph, SPECS)
        alone.append((time.thread_time() - start) / num_nodes)
    return min(cold), min(cached), min(alone)


@pytest.mark.parametrize("make", [chain, fan])
def test_time_per_node_does_not_grow_with_the_graph(make: Any, figures: Any) -> None:
    costs = {num_nodes: measure(make, num_nodes) for num_nodes in (100, 1_000, 10_000)}
    for num_nodes, (cold, cached, alone) in costs.items():
        topic = f"executor, {make.__name__} of {num_nodes:,}"
        figures.add(topic, "cold", f"{cold * 1e3:.3f} ms a node", "≤ 0.2 ms")
        wanted = "≤ 5 ms" if num_nodes == 1_000 else ""
        figures.add(topic, "fully cached", f"{cached * num_nodes * 1e3:.2f} ms", wanted)
        figures.add(topic, "addresses alone", f"{alone * num_nodes * 1e3:.2f} ms")
    small, large = costs[1_000], costs[10_000]
    assert large[0] < 4 * small[0]
    assert large[1] < 4 * small[1]
