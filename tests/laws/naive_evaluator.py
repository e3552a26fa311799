"""A plain evaluator of graphs, as the oracle of executor laws: what every node's values are, and what has to run.

It walks all needed nodes again and again until nothing is missing; slow, and written without the executor's parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.errors import NodeError
from engine.core.ids import NodeId
from engine.execution.events import Blocker, CallResult
from engine.execution.inline_loop import Shown
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["Evaluation", "NaiveEvaluator"]

Sig = int


class Evaluation:
    """The state and result of one run: `values` per node and slot a list, `ui` per node, `ran` node ids."""

    def __init__(self, graph: Graph, targets: tuple[NodeId, ...]) -> None:
        self.nodes: dict[NodeId, GraphNode] = dict(graph.nodes)
        self.needed: list[NodeId] = list(targets)
        self.values: dict[NodeId, list[list[Any]]] = {}
        self.ui: dict[NodeId, dict[str, list[Any]]] = {}
        self.ran: list[NodeId] = []
        self.asked: dict[NodeId, set[str]] = {}
        self.expanded: dict[NodeId, list[CallResult]] = {}
        self.children: dict[NodeId, list[NodeId]] = {}
        self.origins: dict[NodeId, NodeId] = {node: node for node in graph.nodes}
        self.sigs: dict[NodeId, Sig] = {}

    def is_kept(self, node: NodeId, specs: Mapping[str, NodeSpec]) -> bool:
        """Whether a second run of the node in the same job would show."""
        spec = specs[self.nodes[node].type]
        return spec.is_output_node or spec.is_volatile


class NaiveEvaluator:
    """Evaluates graphs one after another; keeps values like the classic cache unless `keeps` is false."""

    def __init__(
        self, specs: Mapping[str, NodeSpec], functions: Mapping[str, Any], checks: Mapping[str, Any], keeps: bool = True
    ) -> None:
        self.specs, self.functions, self.checks, self.keeps = specs, functions, checks, keeps
        self.memo: dict[Sig, tuple[list[list[Any]], dict[str, list[Any]]]] = {}
        self.offspring: dict[tuple[NodeId, str], set[Sig]] = {}
        self._interned: dict[Any, Sig] = {}
        self._num_once = 0

    def run(self, graph: Graph, targets: tuple[NodeId, ...]) -> Evaluation:
        """Evaluate the targets. Raises NodeError as the first failing node would."""
        state = Evaluation(graph, targets)
        mentioned = {self.sig(state, node) for node in graph.nodes}
        for (node, node_type), sigs in list(self.offspring.items()):
            if node in graph and graph[node].type == node_type:
                mentioned |= sigs
            else:
                del self.offspring[node, node_type]
        self.memo = {sig: value for sig, value in self.memo.items() if sig in mentioned}
        before = -1
        while not all(node in state.values for node in state.needed):
            progress = (len(state.values), len(state.needed), len(state.expanded), sum(map(len, state.asked.values())))
            assert progress != before, "the evaluator is stuck"
            before = progress
            for node in list(state.needed):
                if node not in state.values:
                    self._visit(state, state.nodes[node])
        generated: dict[tuple[NodeId, str], set[Sig]] = {}
        for child, origin in state.origins.items():
            if child != origin:
                generated.setdefault((origin, graph[origin].type), set()).add(state.sigs[child])
        self.offspring.update(generated)
        return state

    def sig(self, state: Evaluation, node_id: NodeId) -> Sig:
        """A number for what the node's values depend on; equal numbers, equal values."""
        stack = [] if node_id in state.sigs else [node_id]
        while stack:
            node = state.nodes[stack[-1]]
            sources = [v.node for v in node.inputs.values() if isinstance(v, Link)]
            open_sources = [source for source in sources if source not in state.sigs]
            if open_sources:
                stack.extend(open_sources)
                continue
            stack.pop()
            if node.id in state.sigs:
                continue
            spec = self.specs[node.type]
            parts: list[Any] = [node.type, node.id if spec.depends_on_id else ""]
            for name, value in sorted(node.inputs.items()):
                parts.append((name, (state.sigs[value.node], value.slot) if isinstance(value, Link) else repr(value)))
            if spec.is_volatile:
                self._num_once += 1
                parts.append(("once", self._num_once))
            state.sigs[node.id] = self._interned.setdefault(tuple(parts), len(self._interned))
        return state.sigs[node_id]

    def _visit(self, state: Evaluation, node: GraphNode) -> None:
        spec = self.specs[node.type]
        sig = self.sig(state, node.id)
        if self.keeps and sig in self.memo:
            state.values[node.id], ui = self.memo[sig]
            if ui:
                state.ui[node.id] = ui
            return
        if node.id in state.expanded:
            if all(child in state.values for child in state.children[node.id]):
                self._done(state, node, spec, state.expanded[node.id], state.ui.get(node.id, {}))
            return
        asked = state.asked.setdefault(node.id, set())
        lazy = {n for n, v in node.inputs.items() if isinstance(v, Link) and spec.inputs_by_name[n].is_lazy}
        inputs: dict[str, list[Any]] = {}
        is_ready = True
        for name, value in node.inputs.items():
            if not isinstance(value, Link):
                inputs[name] = [value]
            elif name in lazy and name not in asked:
                inputs[name] = [None]
            elif value.node in state.values:
                slots = state.values[value.node]
                inputs[name] = slots[value.slot] if value.slot < len(slots) else [None]
            else:
                is_ready = False
                if value.node not in state.needed:
                    state.needed.append(value.node)
        if not is_ready:
            return
        for item in spec.inputs:
            if item.type == "UNIQUE_ID":
                inputs[item.name] = [node.id]
        calls = self._calls(node, spec, inputs)
        if node.type in self.checks and any(isinstance(call, dict) for call in calls):
            wanted = {n for call in calls if isinstance(call, dict) for n in self.checks[node.type](**call)}
            if (wanted & lazy) - asked:
                asked |= wanted & lazy
                return
        self._call(state, node, spec, calls)

    def _calls(self, node: GraphNode, spec: NodeSpec, inputs: dict[str, list[Any]]) -> list[Any]:
        """Arguments per call, or the blocker that stops the call."""
        if spec.is_input_list:
            blockers = [v for values in inputs.values() for v in values if isinstance(v, Blocker)]
            return [Blocker()] if blockers else [inputs]
        longest = max(map(len, inputs.values()), default=0)
        if longest == 0:
            return [{}]
        if any(not values for values in inputs.values()):
            raise NodeError("an empty list beside a longer one", code="empty_list", node=node.id)
        calls: list[Any] = []
        for index in range(longest):
            call = {name: values[min(index, len(values) - 1)] for name, values in inputs.items()}
            calls.append(Blocker() if any(isinstance(v, Blocker) for v in call.values()) else call)
        return calls

    def _call(self, state: Evaluation, node: GraphNode, spec: NodeSpec, calls: list[Any]) -> None:
        results, ui = [], {}
        if any(isinstance(call, dict) for call in calls):
            state.ran.append(node.id)
        for call in calls:
            if isinstance(call, Blocker):
                results.append(CallResult(blocked=Blocker()))
                continue
            value = self.functions[node.type](**call)
            if isinstance(value, Shown):
                for key, items in value.ui.items():
                    ui.setdefault(key, []).extend(items)
                value = value.result
            if not isinstance(value, CallResult):
                value = CallResult(value if isinstance(value, tuple) else (value,))
            results.append(value)
        if not any(result.expansion for result in results):
            self._done(state, node, spec, results, ui)
            return
        state.expanded[node.id] = results
        needed = state.children.setdefault(node.id, [])
        for result in results:
            if result.expansion:
                state.nodes.update(result.expansion.nodes.nodes)
                for child in result.expansion.nodes.nodes.values():
                    state.origins[child.id] = state.origins[node.id]
                    if self.specs[child.type].is_output_node:
                        needed.append(child.id)
                needed += [value.node for value in result.values if isinstance(value, Link)]
                for child in result.expansion.nodes.nodes:
                    self.sig(state, child)
        state.needed += [child for child in needed if child not in state.needed]

    def _done(self, state: Evaluation, node: GraphNode, spec: NodeSpec, results: list[CallResult], ui: Any) -> None:
        num_slots = max((len(r.values) for r in results if not r.blocked), default=len(spec.outputs))
        slots: list[list[Any]] = [[] for _ in range(num_slots)]
        for result in results:
            for index, slot in enumerate(slots):
                if result.blocked:
                    slot.append(result.blocked)
                elif result.expansion and isinstance(result.values[index], Link):
                    link = result.values[index]
                    slot.extend(state.values[link.node][link.slot])
                elif spec.outputs[index].is_list:
                    slot.extend(result.values[index])
                else:
                    slot.append(result.values[index])
        state.values[node.id] = slots
        if ui:
            state.ui[node.id] = ui
        if not spec.is_volatile:
            self.memo[state.sigs[node.id]] = slots, ui
