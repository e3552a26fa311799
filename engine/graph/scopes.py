"""A workflow opened up for compilation: every graph indexed once, subgraph and group instances unfolded into scopes.

The root graph is a scope; every instance that is neither muted nor bypassed adds one for its inside. Nothing here
recurses: definitions may nest up to a limit, and an unfolding beyond the node limit is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import GraphError
from engine.graph.group_nodes import group_graph, group_name
from engine.graph.workflow import Workflow

__all__ = [
    "BYPASSED",
    "EDITOR_ONLY",
    "MUTED",
    "EditorLink",
    "GraphIndex",
    "Scope",
    "entries",
    "id_text",
    "link_of",
    "type_of",
    "unfold",
]

MUTED, BYPASSED = 2, 4
EDITOR_ONLY = frozenset({"Note", "MarkdownNote", "Reroute", "PrimitiveNode"})
_INPUT_PANEL, _OUTPUT_PANEL = "-10", "-20"
_MAX_NODES = 100_000
_MAX_NESTING = 64


@dataclass(frozen=True, slots=True)
class EditorLink:
    """A link of the editor: from output `slot` of node `origin`; "-10" is the input panel of a subgraph."""

    origin: str
    slot: int


@dataclass(slots=True)
class GraphIndex:
    """One graph of the file (root, subgraph definition or group), indexed. Ids are strings.

    `input_names` and `output_names` are those of the definition; `panel_links` maps an output of the definition to the
    link that feeds it; `promoted` lists the definition inputs that stand for inner widgets, in order.
    """

    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    links: dict[str, EditorLink] = field(default_factory=dict)
    input_names: list[str] = field(default_factory=list)
    panel_links: dict[int, str] = field(default_factory=dict)
    promoted: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> GraphIndex:
        """Index a graph record of a schema 1 document. Raises GraphError for two nodes with one id."""
        index = cls()
        nodes = record.get("nodes")
        for node in nodes if isinstance(nodes, list) else ():
            if not isinstance(node, dict):
                continue
            node_id = id_text(node.get("id"))
            if node_id is None:
                raise GraphError("A node of the workflow has no id.", code="bad_workflow")
            if node_id in index.nodes:
                raise GraphError(
                    f"Two nodes of one graph have the id {node_id}.",
                    code="duplicate_node_id",
                    hint="Open the workflow in the editor and save it again.",
                    node=node_id,
                )
            index.nodes[node_id] = node
        panels = _panel_id(record, "inputNode", _INPUT_PANEL), _panel_id(record, "outputNode", _OUTPUT_PANEL)
        inputs = record.get("inputs")
        for item in inputs if isinstance(inputs, list) else ():
            name = item.get("name") if isinstance(item, dict) else None
            index.input_names.append(name if isinstance(name, str) else "")
        fed = _index_links(index, record.get("links"), panels)
        index.promoted = sorted({index.links[link].slot for link in _widget_links(index, fed)})
        return index


def _index_links(index: GraphIndex, links: Any, panels: tuple[str, str]) -> set[str]:
    """Fill `index.links` and `index.panel_links`; return the links that leave the input panel."""
    fed: set[str] = set()
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict):
            parts = [link.get(k) for k in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        elif isinstance(link, list) and len(link) >= 5:
            parts = link[:5]
        else:
            continue
        link_id, origin, slot, target, target_slot = (
            id_text(parts[0]), id_text(parts[1]), _slot(parts[2]), id_text(parts[3]), _slot(parts[4]),
        )  # fmt: skip
        if link_id is None or origin is None or slot is None:
            continue
        if origin == panels[0]:
            origin = _INPUT_PANEL
            fed.add(link_id)
        index.links[link_id] = EditorLink(origin, slot)
        if target == panels[1] and target_slot is not None:
            index.panel_links.setdefault(target_slot, link_id)
    return fed


def _widget_links(index: GraphIndex, fed: set[str]) -> list[str]:
    """Those of the links `fed` that end in a widget of an inner node."""
    if not fed:
        return []
    return [
        link
        for node in index.nodes.values()
        for item in entries(node, "inputs")
        if item.get("widget") and (link := link_of(item)) is not None and link in fed
    ]


@dataclass(slots=True, eq=False)
class Scope:
    """One unfolded graph: the root, or the inside of one instance.

    `prefix` goes before node ids ("85:"). `values` holds the instance's values of promoted inputs by position;
    `overrides` the values an instance gives to inner widgets by (node id, widget name). `children` are the scopes of
    the instances in this graph.
    """

    index: GraphIndex
    prefix: str = ""
    parent: Scope | None = None
    instance: Mapping[str, Any] | None = None
    depth: int = 0
    definitions: tuple[str, ...] = ()
    values: dict[int, Any] = field(default_factory=dict)
    overrides: dict[tuple[str, str], Any] = field(default_factory=dict)
    children: dict[str, Scope] = field(default_factory=dict)

    def instance_link(self, position: int) -> str | None:
        """The outer link of definition input `position`, matched to the instance's inputs by name."""
        if self.instance is None or not 0 <= position < len(self.index.input_names):
            return None
        name = self.index.input_names[position]
        for item in entries(self.instance, "inputs"):
            if item.get("name") == name:
                return link_of(item)
        return None


def unfold(workflow: Workflow, widget_counts: Any) -> list[Scope]:
    """All scopes of a workflow, the root first, each followed by those of its instances.

    Args:
        workflow: the document.
        widget_counts: callable giving the number of `widgets_values` entries of a plain node (for group nodes).

    Raises GraphError: subgraph_cycle, graph_too_large, duplicate_node_id, bad_workflow.
    """
    document = workflow.document
    definitions = _definitions(document)
    groups = _groups(document)
    indexes: dict[str, GraphIndex] = {}
    root = Scope(GraphIndex.of(document))
    scopes: list[Scope] = []
    waiting = [root]
    num_nodes = len(root.index.nodes)
    while waiting:
        scope = waiting.pop()
        scopes.append(scope)
        opened = []
        for node_id, node in scope.index.nodes.items():
            kind = type_of(node)
            if node.get("mode") in (MUTED, BYPASSED):
                continue
            if kind in definitions:
                if kind not in indexes:
                    indexes[kind] = GraphIndex.of(definitions[kind])
                index, node = indexes[kind], node
            elif (name := group_name(kind)) in groups:
                record, node = group_graph(groups[name], node, widget_counts)
                index = GraphIndex.of(record)
            else:
                continue
            child = _open(scope, node_id, node, kind, index)
            num_nodes += len(index.nodes)
            if num_nodes > _MAX_NODES:
                raise GraphError(
                    f"The workflow unfolds into more than {_MAX_NODES} nodes.",
                    code="graph_too_large",
                    hint="Use fewer subgraph instances.",
                )
            opened.append(child)
        waiting.extend(reversed(opened))
    return scopes


def _open(scope: Scope, node_id: str, node: Mapping[str, Any], kind: str, index: GraphIndex) -> Scope:
    if kind in scope.definitions or scope.depth >= _MAX_NESTING:
        raise GraphError(
            f"The subgraph of node {scope.prefix}{node_id} contains itself."
            if kind in scope.definitions
            else f"Subgraphs nest deeper than {_MAX_NESTING} levels.",
            code="subgraph_cycle",
            hint="Remove the inner instance.",
            node=f"{scope.prefix}{node_id}",
        )
    child = Scope(index, f"{scope.prefix}{node_id}:", scope, node, scope.depth + 1, (*scope.definitions, kind))
    _read_instance_values(scope, child, node_id)
    scope.children[node_id] = child
    return child


def _read_instance_values(scope: Scope, child: Scope, node_id: str) -> None:
    """Which inner widgets the instance sets: one value per promoted input, or one per entry of `proxyWidgets`."""
    assert child.instance is not None
    values = child.instance.get("widgets_values")
    properties = child.instance.get("properties")
    proxies = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    names = child.index.input_names
    if isinstance(values, dict):
        by_name = {names[i]: i for i in child.index.promoted if i < len(names)}
        child.values = {by_name[name]: value for name, value in values.items() if name in by_name}
    elif isinstance(values, list) and isinstance(proxies, list) and proxies:
        for proxy, value in zip(proxies, values):
            _apply_proxy(child, proxy, value)
    elif isinstance(values, list):
        child.values = dict(zip(child.index.promoted, values))
    for position in child.index.promoted:
        if position < len(names) and (node_id, names[position]) in scope.overrides:
            child.values[position] = scope.overrides[node_id, names[position]]


def _apply_proxy(child: Scope, proxy: Any, value: Any) -> None:
    if not isinstance(proxy, list) or len(proxy) < 2 or not isinstance(proxy[1], str):
        return
    inner = id_text(proxy[0])
    if inner == "-1":
        if proxy[1] in child.index.input_names:
            child.values[child.index.input_names.index(proxy[1])] = value
    elif inner is not None:
        child.overrides[inner, proxy[1]] = value


# ------------------------------------------------------------------ reading records of unknown quality


def entries(node: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A node's `inputs` or `outputs`; entries that are no objects count as empty ones, so positions stay right."""
    found = node.get(key)
    if not isinstance(found, list):
        return []
    return [item if isinstance(item, dict) else {} for item in found]


def type_of(node: Mapping[str, Any]) -> str:
    """A node's type; "" when the file has none."""
    kind = node.get("type")
    return kind if isinstance(kind, str) else ""


def link_of(item: Mapping[str, Any]) -> str | None:
    """The id of the link that ends in an input entry."""
    return id_text(item.get("link"))


def id_text(value: Any) -> str | None:
    """A node or link id as text; None for anything that is no id."""
    if type(value) is int:
        return str(value)
    if type(value) is str:
        return value
    if type(value) is float and value.is_integer():
        return str(int(value))
    return None


def _slot(value: Any) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def _panel_id(record: Mapping[str, Any], key: str, default: str) -> str:
    panel = record.get(key)
    return (id_text(panel.get("id")) if isinstance(panel, dict) else None) or default


def _definitions(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Subgraph definitions by id; also those kept inside other definitions."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting: list[Mapping[str, Any]] = [document]
    while waiting:
        holder = waiting.pop().get("definitions")
        subgraphs = holder.get("subgraphs") if isinstance(holder, dict) else None
        for item in subgraphs if isinstance(subgraphs, list) else ():
            if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"] not in found:
                found[item["id"]] = item
                waiting.append(item)
    return found


def _groups(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    extra = document.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    if not isinstance(groups, dict):
        return {}
    return {name: item for name, item in groups.items() if isinstance(item, dict)}
