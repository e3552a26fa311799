"""Small node types for executor tests, and a loop that checks every invariant after every event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.errors import NodeError
from engine.core.ids import JobId, NodeId
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.events import Blocker, CallResult, Event, Expansion, JobArrived
from engine.execution.executor import Executor
from engine.execution.inline_loop import InlineLoop, Shown
from engine.execution.instructions import FinishJob
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import InputSpec, NodeSpec, OutputSpec

__all__ = [
    "FUNCTIONS",
    "LAZY_CHECKS",
    "SPECS",
    "CheckedLoop",
    "arrived",
    "checked_loop",
    "executor_with",
    "graph_of",
    "spec",
]


def spec(
    name: str, inputs: str = "", outputs: str = "v", *, lazy: str = "", raw: str = "", hidden: str = "", **flags: Any
) -> NodeSpec:
    """A node type. `inputs` and `outputs` are names; an output ending in `*` is a list; `hidden` holds NAME=TOKEN."""
    sockets = [
        InputSpec(item, "INT", options={"lazy": item in lazy.split(), "rawLink": item in raw.split()})
        for item in inputs.split()
    ]
    sockets += [InputSpec(item.split("=")[0], item.split("=")[1], "hidden") for item in hidden.split()]
    return NodeSpec(
        name,
        inputs=tuple(sockets),
        outputs=tuple(OutputSpec(item.rstrip("*"), "INT", item.endswith("*")) for item in outputs.split()),
        has_lazy_check=bool(lazy),
        **flags,
    )


SPECS: dict[str, NodeSpec] = {
    item.name: item
    for item in (
        spec("Const", "value"),
        spec("Tick", "value", is_volatile=True),
        spec("Add", "a b"),
        spec("Make", "n start", "v*"),
        spec("Sum", "values", is_input_list=True),
        spec("Pick", "flag x y", lazy="x y"),
        spec("Gate", "v"),
        spec("Warn", "v"),
        spec("Fail", "v"),
        spec("Grow", "v depth", hidden="uid=UNIQUE_ID", depends_on_id=True, is_input_list=True),
        spec("Save", "v", "", is_output_node=True),
        spec("Pass", "v", is_output_node=True),
        spec("Device", "v", lane="device"),
        spec("Read", "v", lane="io"),
        spec("Fetch", "v", is_async=True),
    )
}


def _grow(v: list[Any], depth: list[int], uid: list[str]) -> CallResult:
    """Generate `start → add → (grow again) → result`, and an output node."""
    first, last = f"{uid[0]}.a", f"{uid[0]}.b"
    start = next((value for value in v if isinstance(value, int)), 0)
    nodes = {
        first: GraphNode(NodeId(first), "Const", {"value": start}),
        last: GraphNode(NodeId(last), "Add", {"a": Link(NodeId(first), 0), "b": depth[0]}),
        f"{uid[0]}.s": GraphNode(NodeId(f"{uid[0]}.s"), "Save", {"v": Link(NodeId(last), 0)}),
    }
    result = last
    if depth[0] > 1:
        result = f"{uid[0]}.g"
        nodes[result] = GraphNode(NodeId(result), "Grow", {"v": Link(NodeId(last), 0), "depth": depth[0] - 1})
    return CallResult((Link(NodeId(result), 0),), expansion=Expansion(Graph(nodes)))


def _fail(v: Any) -> Any:
    raise NodeError(f"{v} is not acceptable.", code="refused")


def _total(*values: Any) -> int:
    return sum(value for value in values if isinstance(value, int))


FUNCTIONS: dict[str, Any] = {
    "Const": lambda value=None: value,
    "Tick": lambda value=None: value,
    "Add": lambda a=None, b=None: _total(a, b),
    "Make": lambda n=0, start=0: ([_total(start, index) for index in range(n % 4)],),
    "Sum": lambda values=(): _total(*values),
    "Pick": lambda flag=None, x=None, y=None: x if _total(flag) % 2 == 0 else y,
    "Gate": lambda v=None: CallResult(blocked=Blocker()) if _total(v) % 3 == 0 else v,
    "Warn": lambda v=None: CallResult(blocked=Blocker("nothing to see")),
    "Fail": _fail,
    "Grow": _grow,
    "Save": lambda v=None: Shown({"text": [v]}),
    "Pass": lambda v=None: Shown({"text": [v]}, CallResult((v,))),
    "Device": lambda v=None: v,
    "Read": lambda v=None: v,
    "Fetch": lambda v=None: v,
}

LAZY_CHECKS: dict[str, Any] = {
    "Pick": lambda flag=None, x=None, y=None: ["x"] if _total(flag) % 2 == 0 else ["y"],
}


def graph_of(**nodes: tuple[Any, ...]) -> Graph:
    """A graph from `name=("Type", {input: value})`; a string value "node" or "node:slot" that names one is a link."""
    built = {}
    for name, (node_type, *rest) in nodes.items():
        inputs = {key: _value(value, nodes) for key, value in (rest[0] if rest else {}).items()}
        built[NodeId(name)] = GraphNode(NodeId(name), node_type, inputs)
    return Graph(built)


def _value(value: Any, nodes: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        node, _, slot = value.partition(":")
        if node in nodes:
            return Link(NodeId(node), int(slot or 0))
    return value


def arrived(job: str, graph: Graph, *targets: str, **fields: Any) -> JobArrived:
    """The event; targets default to every output node of the graph."""
    specs = fields.pop("specs", SPECS)
    wanted = targets or tuple(n for n, node in graph.nodes.items() if specs[node.type].is_output_node)
    return JobArrived(JobId(job), graph, specs, tuple(map(NodeId, wanted)), **fields)


def executor_with(mode: str = "classic", *, lanes: Mapping[str, int] | None = None, **cache: Any) -> Executor:
    """An executor whose values take 8 bytes each."""
    return Executor(ArtifactCache(cache.pop("size_of", lambda value: 8), mode=mode, **cache), lanes or {"cpu": 1})


@dataclass(slots=True)
class CheckedLoop(InlineLoop):
    """Validates the executor's state after every event, unless told not to."""

    is_checked: bool = True

    def feed(self, event: Event) -> None:
        InlineLoop.feed(self, event)
        if self.is_checked:
            self.executor.validate_state()

    def finish(self, job: str, graph: Graph, *targets: str, **fields: Any) -> FinishJob:
        """Run a job to its end."""
        self.feed(arrived(job, graph, *targets, **fields))
        self.run()
        return self.finished[JobId(job)]

    def kinds(self, job: str) -> list[str]:
        """The job's reports as `kind node`, in order."""
        return [f"{r.kind} {r.data.get('node', '')}".strip() for r in self.reports if r.job == job]


def checked_loop(executor: Executor | None = None, **fields: Any) -> CheckedLoop:
    """A loop over the node types of this module."""
    functions = {**FUNCTIONS, **fields.pop("functions", {})}
    checks = {**LAZY_CHECKS, **fields.pop("lazy_checks", {})}
    return CheckedLoop(executor or executor_with(), functions, checks, **fields)
