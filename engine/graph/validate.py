"""Is a graph fit to run? All complaints at once, the targets that can run, and the graph with converted constants.

Rules as in ComfyUI's server (which names inputs, bounds and choices in the same way), stricter where it would fail
later: cycles are named, NaN and infinities are refused for numbers, the choices of new-style inputs are checked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.core.ids import NodeId
from engine.graph.complaint import Complaint, shown
from engine.graph.constants import ConstantError, Listings, check_constant, constant_bounds
from engine.graph.graph import BadLink, Graph, GraphNode, Link
from engine.graph.link_complaints import bad_link, missing_input, missing_output, missing_source, type_mismatch
from engine.graph.schema import ANY_TYPE, Catalog, FileChoices, InputSpec, NodeSpec, OutputSpec, types_match, wire_input
from engine.graph.topology import ancestors, cycle_error, find_cycles, partial_order

__all__ = ["Validation", "validate"]

_MAX_NAMES_LOOKED_UP = 5
_MAX_DEPENDENT_OUTPUTS = 100
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Validation:
    """The outcome of `validate`.

    `targets` are the output nodes that can run, in file order: none when a node type is unknown, else those with no
    faulty node above them. `graph` is the given graph with the constants of the reached nodes converted and unknown
    constants dropped. `reached` are the nodes above the asked-for outputs, sources first. `needs_code_check` are the
    reached nodes whose pack has a validator that only a worker can call. `dependent_outputs` lists per faulty node
    up to 100 of the asked-for outputs that need it.
    """

    graph: Graph
    complaints: tuple[Complaint, ...] = ()
    targets: tuple[NodeId, ...] = ()
    reached: tuple[NodeId, ...] = ()
    needs_code_check: tuple[NodeId, ...] = ()
    dependent_outputs: Mapping[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)

    @property
    def can_run(self) -> bool:
        """Whether at least one target is free of complaints."""
        return bool(self.targets)


def validate(
    graph: Graph,
    catalog: Catalog,
    *,
    list_files: Callable[[FileChoices], list[str]],
    file_exists: Callable[[str, str], bool] | None = None,
    targets: Iterable[NodeId] | None = None,
) -> Validation:
    """Check everything the outputs of `graph` depend on.

    Args:
        graph: as `parse_prompt` or `compile_workflow` made it.
        catalog: the known node types.
        list_files: lists a folder; called once per folder.
        file_exists: whether the folder "input", "output" or "temp" has a file of that relative name; when None, names
            are looked up in the folder's listing.
        targets: ids of the output nodes asked for; all output nodes when None.
    """
    complaints = _unknown_types(graph, catalog)
    is_known = not complaints
    wanted = None if targets is None else set(targets)
    outputs = [
        node.id
        for node in graph.nodes.values()
        if (spec := catalog.get(node.type)) and spec.is_output_node and (wanted is None or node.id in wanted)
    ]
    if not outputs:
        complaints.append(_no_outputs(wanted))
    reached = ancestors(graph, outputs)
    order = partial_order(graph, reached)
    if len(order) < len(reached):
        complaints += [_cycle(graph, cycle) for cycle in find_cycles(graph, reached)]
    checker = _Checker(graph, catalog, Listings(list_files, file_exists))
    changed: dict[NodeId, GraphNode] = {}
    for node in graph.nodes.values():
        if node.id in reached:
            checked = checker.check(node)
            if checked is not node:
                changed[node.id] = checked
    complaints += checker.complaints
    broken = _broken(graph, order, reached, complaints) if complaints else set()
    return Validation(
        graph=Graph({**graph.nodes, **changed}) if changed else graph,
        complaints=tuple(complaints),
        targets=tuple(node for node in outputs if node not in broken) if is_known else (),
        reached=tuple(order) if len(order) == len(reached) else (*order, *sorted(reached.difference(order))),
        needs_code_check=tuple(checker.needs_code_check),
        dependent_outputs=_dependent_outputs(graph, order, outputs, complaints) if complaints else {},
    )


# ------------------------------------------------------------------ one node


@dataclass(frozen=True, slots=True)
class _Check:
    """One input, ready to be checked. A constant of exactly `plain_type` within the bounds or choices is fine as it is;
    everything else takes the long way through `check_constant`."""

    item: InputSpec
    name: str
    is_required: bool
    checks_range: bool
    plain_type: type | None
    bounds: tuple[float, float] | None
    choices: frozenset[str] | None

    @classmethod
    def of(cls, item: InputSpec, checks_range: bool, listings: Listings) -> _Check:
        plain_type = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool, "COMBO": str}.get(item.type)
        bounds = None
        if item.type in ("INT", "FLOAT"):
            bounds = constant_bounds(item) if checks_range else (-sys.float_info.max, sys.float_info.max)
        choices = None
        if item.type == "COMBO" and checks_range:
            names = listings.files(item.choices) if isinstance(item.choices, FileChoices) else item.choices or ()
            choices = frozenset(name for name in names if isinstance(name, str))
        return cls(item, item.name, item.presence == "required", checks_range, plain_type, bounds, choices)


@dataclass(frozen=True, slots=True)
class _Checks:
    """All visible inputs of a node type."""

    spec: NodeSpec
    inputs: tuple[_Check, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, spec: NodeSpec, listings: Listings) -> _Checks:
        own = set(spec.validates)
        return cls(
            spec,
            tuple(_Check.of(item, "*" not in own and item.name not in own, listings) for item in spec.visible_inputs),
            frozenset(item.name for item in spec.visible_inputs),
        )


class _Checker:
    """Walks the inputs of nodes and collects what is wrong with them."""

    def __init__(self, graph: Graph, catalog: Catalog, listings: Listings) -> None:
        self.complaints: list[Complaint] = []
        self.needs_code_check: list[NodeId] = []
        self._nodes = graph.nodes
        self._catalog = catalog
        self._listings = listings
        self._checks: dict[str, _Checks] = {}

    def check(self, node: GraphNode) -> GraphNode:
        """`node` with converted constants, or `node` itself when nothing changed."""
        checks = self._checks.get(node.type)
        if checks is None:
            spec = self._catalog.get(node.type)
            if spec is None:
                return node
            checks = self._checks[node.type] = _Checks.of(spec, self._listings)
        if checks.spec.validates:
            self.needs_code_check.append(node.id)
        given = node.inputs
        changed: dict[str, Any] = {}
        num_found = 0
        for check in checks.inputs:
            name = check.name
            value: Any = given.get(name, _ABSENT)
            if value is _ABSENT:
                if check.is_required:
                    self._complain(node, checks.spec, check.item, missing_input(check.item))
                continue
            num_found += 1
            if type(value) is check.plain_type:
                bounds = check.bounds
                if bounds is not None:
                    if bounds[0] <= value <= bounds[1]:
                        continue
                elif check.choices is None or value in check.choices:
                    continue
            converted = self._converted(node, checks.spec, check, value)
            if converted is not value:
                changed[name] = converted
        unknown = [name for name in given if name not in checks.names] if num_found < len(given) else []
        if not changed and not unknown:
            return node
        dropped: set[str] = set()
        for name in unknown:
            if checks.spec.any_input is not None:
                changed[name] = self._undeclared(node, checks.spec, name)
            elif not self._is_kept(node, checks.spec, name):
                dropped.add(name)
        inputs = {name: changed.get(name, value) for name, value in given.items() if name not in dropped}
        return replace(node, inputs=inputs)

    def _converted(self, node: GraphNode, spec: NodeSpec, check: _Check, value: Any) -> Any:
        """A link or constant as the node will get it; the value itself, with a complaint, when it does not fit."""
        if type(value) is Link:
            return self._check_link(node, spec, check.item, value)
        if type(value) is BadLink:
            self._complain(node, spec, check.item, bad_link(check.item, value), got=value.value)
            return value
        try:
            return check_constant(check.item, value, self._listings, checks_range=check.checks_range)
        except ConstantError as error:
            self._complain(node, spec, check.item, error, got=value)
            return value

    def _undeclared(self, node: GraphNode, spec: NodeSpec, name: str) -> Any:
        """The input `name` of a node that takes every name: constants as they are, links of every type."""
        value = node.inputs[name]
        if type(value) is Link:
            return self._check_link(node, spec, InputSpec(name, ANY_TYPE, "optional", is_wildcard=True), value)
        return value.value if type(value) is BadLink else value

    def _is_kept(self, node: GraphNode, spec: NodeSpec, name: str) -> bool:
        """Links of undeclared inputs reach the node (it may take any keyword); constants do not."""
        value = node.inputs[name]
        if type(value) is not Link:
            return False
        if value.node not in self._nodes:
            self._complain(node, spec, InputSpec(name, "*"), missing_source(name, value), got=[value.node, value.slot])
        return True

    def _check_link(self, node: GraphNode, spec: NodeSpec, item: InputSpec, link: Link) -> Link:
        source = self._nodes.get(link.node)
        pair = [link.node, link.slot]
        if source is None:
            self._complain(node, spec, item, missing_source(item.name, link), got=pair)
            return link
        source_spec = self._catalog.get(source.type)
        if source_spec is None:
            return link
        outputs = source_spec.outputs
        slot = link.slot
        if not -len(outputs) <= slot < len(outputs):
            self._complain(node, spec, item, missing_output(item.name, link, source, len(outputs)), got=pair)
            return link
        output = outputs[slot]
        if not spec.validates_types and not _fits(output, item):
            self._complain(node, spec, item, type_mismatch(item, output, link, source), got=pair)
        return link if slot >= 0 else Link(link.node, slot + len(outputs))

    def _complain(
        self, node: GraphNode, spec: NodeSpec, item: InputSpec, error: ConstantError, got: Any = _ABSENT
    ) -> None:
        parts = dict(error.parts)
        extra = {"input_name": item.name, **parts.pop("extra", {})}
        if got is not _ABSENT:
            extra |= self._received(item, spec, error.code, extra, got)
        title = node.title or spec.title or spec.name
        self.complaints.append(
            Complaint(
                code=error.code,
                message=f"{title} (node {node.id}): {error.message}",
                node=node.id,
                node_type=spec.name,
                title=title,
                input=item.name,
                got=None if got is _ABSENT else shown(got),
                extra=extra,
                comfy_type=parts.pop("comfy_type", error.code),
                **parts,
            )
        )

    def _received(
        self, item: InputSpec, spec: NodeSpec, code: str, extra: Mapping[str, Any], got: Any
    ) -> dict[str, Any]:
        """What ComfyUI's error records say about the input and its value; its own validators say nothing."""
        if code == "custom_validation_failed":
            return {}
        config = {} if "input_config" in extra else {"input_config": self._config(item, spec)}
        return config if code == "return_type_mismatch" else {**config, "received_value": shown(got)}

    def _config(self, item: InputSpec, spec: NodeSpec) -> Any:
        wire = wire_input(item, spec.schema_form, self._listings.files)
        return [wire[0], wire[1] if len(wire) > 1 else {}]


def _fits(output: OutputSpec, item: InputSpec) -> bool:
    return output.type == item.type or item.is_wildcard or output.is_wildcard or types_match(output.type, item.type)


# ------------------------------------------------------------------ the graph as a whole


def _unknown_types(graph: Graph, catalog: Catalog) -> list[Complaint]:
    found: list[Complaint] = []
    nearest: dict[str, str | None] = {}
    for node in graph.nodes.values():
        if node.type in catalog:
            continue
        name = node.title or node.type
        if not node.type:
            code, message, remedy = "missing_node_type", f"Node {node.id} has no class_type.", "Name its node type."
        else:
            if node.type not in nearest:
                nearest[node.type] = catalog.nearest(node.type) if len(nearest) < _MAX_NAMES_LOOKED_UP else None
            close = nearest[node.type]
            code, message = "unknown_node", f"There is no node type {shown(node.type)!r} (node {node.id})."
            remedy = f"Did you mean {close!r}? " if close else ""
            remedy += "Install the pack that has it, or remove the node."
        found.append(
            Complaint(
                code, message, node.id, shown(node.type), shown(name), got=shown(node.type), remedy=remedy,
                details=f"Node ID '#{node.id}'", comfy_type="invalid_prompt",
            )
        )  # fmt: skip
    return found


def _no_outputs(wanted: set[NodeId] | None) -> Complaint:
    if wanted is None:
        message, remedy = "The graph has no output node.", "Add a node that saves or previews something."
    else:
        message, remedy = "None of the requested targets is an output node of the graph.", "Ask for output nodes."
    return Complaint("prompt_no_outputs", message, remedy=remedy, comfy_type="prompt_no_outputs")


def _cycle(graph: Graph, cycle: tuple[NodeId, ...]) -> Complaint:
    error = cycle_error(cycle)
    first = graph[cycle[0]]
    return Complaint(
        "cycle", error.message, first.id, first.type, first.title or first.type, got=list(cycle[:100]),
        remedy=error.hint, extra={"nodes": list(cycle)},
    )  # fmt: skip


def _broken(graph: Graph, order: list[NodeId], reached: set[NodeId], complaints: list[Complaint]) -> set[NodeId]:
    """The reached nodes that are faulty or below a faulty one."""
    broken = reached.difference(order)
    broken.update(c.node for c in complaints if c.node is not None and c.node in reached)
    for node_id in order:
        if node_id not in broken and any(link.node in broken for _, link in graph[node_id].links()):
            broken.add(node_id)
    return broken


def _dependent_outputs(
    graph: Graph, order: list[NodeId], outputs: list[NodeId], complaints: list[Complaint]
) -> dict[NodeId, tuple[NodeId, ...]]:
    """Per faulty node the outputs below it. Sets of outputs are bit masks, so this stays linear in practice."""
    masks: dict[NodeId, int] = {node_id: 1 << position for position, node_id in enumerate(outputs)}
    for node_id in reversed(order):
        mask = masks.get(node_id, 0)
        for _, link in graph[node_id].links():
            masks[link.node] = masks.get(link.node, 0) | mask
    found: dict[NodeId, tuple[NodeId, ...]] = {}
    for complaint in complaints:
        if complaint.node is None or complaint.node in found:
            continue
        mask, names = masks.get(complaint.node, 0), []
        while mask and len(names) < _MAX_DEPENDENT_OUTPUTS:
            lowest = mask & -mask
            names.append(outputs[lowest.bit_length() - 1])
            mask ^= lowest
        found[complaint.node] = tuple(names)
    return found
