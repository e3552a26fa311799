"""Workflow → Graph: what an editor does when it builds a prompt, done here so that no editor is needed.

The steps and their order follow docs/workflow-format.md: unfold subgraphs, leave out what only the editor knows or the
user switched off, read widget values by name, find where links really come from, and do the editor's text work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from random import Random
from typing import Any

from engine.core.errors import GraphError
from engine.core.ids import NodeId
from engine.graph.editor_text import choose_alternatives, replace_tokens, strip_comments
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.link_sources import REMOVED, SourceFinder, socket_type
from engine.graph.schema import Catalog, FileChoices, NodeSpec
from engine.graph.scopes import BYPASSED, EDITOR_ONLY, MUTED, Scope, entries, link_of, type_of, unfold
from engine.graph.widget_values import FILE_NAME_WIDGET, WidgetPlan
from engine.graph.workflow import Workflow

__all__ = ["compile_workflow"]

_NOT_SUBSTITUTED = frozenset({"CheckpointSave"})
_MAX_PROMPT_CHARACTERS = 1_000_000
_ABSENT = object()


def compile_workflow(
    workflow: Workflow,
    catalog: Catalog,
    *,
    rng: Random | None = None,
    now: datetime | None = None,
    list_files: Callable[[FileChoices], list[str]] | None = None,
) -> Graph:
    """The graph a workflow stands for.

    Args:
        workflow: the document.
        catalog: the known node types; nodes of unknown types are kept for `validate` to name.
        rng: picks among `{a|b}` alternatives; a freshly seeded one when None.
        now: local time for `%date:…%`; the current time when None.
        list_files: lists a folder, for nodes that were saved without a choice; such inputs stay empty when None.

    Raises GraphError when the document contradicts itself: see `unfold` and `SourceFinder.find`; text_too_long.
    """
    return _Compiler(workflow, catalog, rng or Random(), now or datetime.now(), list_files).run()


class _Compiler:
    """One compilation: the scopes of the workflow and what has been worked out about them."""

    def __init__(
        self,
        workflow: Workflow,
        catalog: Catalog,
        rng: Random,
        now: datetime,
        list_files: Callable[[FileChoices], list[str]] | None,
    ) -> None:
        self._catalog = catalog
        self._rng = rng
        self._now = now
        self._plans: dict[str, WidgetPlan | None] = {}
        self._values: dict[tuple[Scope, str], dict[str, Any]] = {}
        self._names: dict[Scope, dict[str, str]] = {}
        self._sources = SourceFinder()

        @cache
        def first_file(choices: FileChoices) -> Any:
            names = list_files(choices) if list_files is not None else []
            return names[0] if names else next(iter(choices.also), None)

        self._first_file = first_file
        self._scopes = unfold(workflow, self._num_entries)

    def run(self) -> Graph:
        """Compile every node of every scope, then drop the links whose source is not in the result."""
        nodes: dict[NodeId, GraphNode] = {}
        for scope in self._scopes:
            for node_id, record in scope.index.nodes.items():
                if self._is_emitted(scope, node_id, record):
                    node = self._node(scope, node_id, record)
                    nodes[node.id] = node
        return Graph({node.id: _without_dangling(node, nodes) for node in nodes.values()})

    @staticmethod
    def _is_emitted(scope: Scope, node_id: str, record: Mapping[str, Any]) -> bool:
        return (
            record.get("mode") not in (MUTED, BYPASSED)
            and type_of(record) not in EDITOR_ONLY
            and node_id not in scope.children
        )

    def _node(self, scope: Scope, node_id: str, record: Mapping[str, Any]) -> GraphNode:
        kind = type_of(record)
        spec = self._catalog.get(kind)
        inputs = dict(self._widget_values(scope, node_id, record))
        untouched: set[str] = set()
        links: dict[str, Link | None] = {}
        for item in entries(record, "inputs"):
            link_id = link_of(item)
            name = item.get("name")
            if link_id is None or not isinstance(name, str):
                continue
            found = self._sources.find(scope, link_id, socket_type(item))
            if found is REMOVED:
                links[name] = None
            elif isinstance(found, Link):
                links[name] = found
            else:
                self._apply_unlinked(scope, link_id, _widget_name(item, name), inputs, untouched)
        if spec is not None:
            self._process_texts(scope, spec, inputs, untouched)
        for name, link in links.items():
            inputs.pop(name, None)
            if link is not None:
                inputs[name] = link
        title = record.get("title")
        if not isinstance(title, str) or not title:
            title = (spec.title if spec else "") or kind
        return GraphNode(NodeId(scope.prefix + node_id), kind, inputs, title)

    def _apply_unlinked(
        self, scope: Scope, link_id: str, widget: str | None, inputs: dict[str, Any], untouched: set[str]
    ) -> None:
        """A link without a source: a primitive, or a promoted widget, may give the widget its value."""
        link = scope.index.links.get(link_id)
        if link is None or widget is None or widget not in inputs:
            return
        if link.origin == "-10":
            value = _promoted_value(scope, link.slot)
            if value is not _ABSENT:
                inputs[widget] = value
            return
        source = scope.index.nodes.get(link.origin)
        if source is None or source.get("type") != "PrimitiveNode" or link.slot != 0:
            return
        values = source.get("widgets_values")
        if isinstance(values, list) and values:
            inputs[widget] = values[0]
            properties = source.get("properties")
            if not (isinstance(properties, dict) and properties.get("Run widget replace on values")):
                untouched.add(widget)
            elif isinstance(values[0], str):
                inputs[widget] = self._substituted(scope, values[0])

    # -------------------------------------------------------------- widgets

    def _plan(self, kind: str) -> WidgetPlan | None:
        if kind not in self._plans:
            spec = self._catalog.get(kind)
            self._plans[kind] = None if spec is None else WidgetPlan.of(spec)
        return self._plans[kind]

    def _num_entries(self, record: Mapping[str, Any]) -> int:
        plan = self._plan(type_of(record))
        if plan is not None:
            return plan.num_entries
        values = record.get("widgets_values")
        return len(values) if isinstance(values, list) else 0

    def _widget_values(self, scope: Scope, node_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """The node's own values by widget name, with what its instance overrides; text as it was typed."""
        key = (scope, node_id)
        if key not in self._values:
            values = record.get("widgets_values")
            plan = self._plan(type_of(record))
            if plan is not None:
                found = plan.read(values, self._first_file)
            else:
                found = {name: v for name, v in values.items() if name} if isinstance(values, dict) else {}
            if scope.overrides:
                for name in found:
                    if (node_id, name) in scope.overrides:
                        found[name] = scope.overrides[node_id, name]
            self._values[key] = found
        return self._values[key]

    # -------------------------------------------------------------- text

    def _process_texts(self, scope: Scope, spec: NodeSpec, inputs: dict[str, Any], untouched: set[str]) -> None:
        plan = self._plan(spec.name)
        for item in plan.processed if plan is not None else ():
            value = inputs.get(item.name)
            if item.name in untouched or not isinstance(value, str):
                continue
            if item.options.get("dynamicPrompts"):
                _check_length(item.name, value)
                inputs[item.name] = choose_alternatives(strip_comments(value), self._rng)
            if item.name == FILE_NAME_WIDGET and spec.is_output_node and spec.name not in _NOT_SUBSTITUTED:
                inputs[item.name] = self._substituted(scope, value)

    def _substituted(self, scope: Scope, text: str) -> str:
        if "%" not in text:
            return text
        return replace_tokens(text, self._now, lambda node, widget: self._named_value(scope, node, widget))

    def _named_value(self, scope: Scope | None, node: str, widget: str) -> Any:
        """The value of a widget of the first node called `node`, in this graph or the ones around it."""
        while scope is not None:
            if scope not in self._names:
                self._names[scope] = _names(scope, self._catalog)
            node_id = self._names[scope].get(node)
            if node_id is not None:
                return self._widget_values(scope, node_id, scope.index.nodes[node_id]).get(widget)
            scope = scope.parent
        return None


def _check_length(name: str, text: str) -> None:
    if len(text) > _MAX_PROMPT_CHARACTERS:
        raise GraphError(
            f"The text of {name} has {len(text)} characters; at most {_MAX_PROMPT_CHARACTERS} can be worked on.",
            code="text_too_long",
            hint="Shorten the text.",
            input=name,
        )


def _widget_name(item: Mapping[str, Any], name: str) -> str | None:
    """The widget an input entry stands for; the input's own name in files that do not say."""
    widget = item.get("widget")
    if not isinstance(widget, dict):
        return None
    inner = widget.get("name")
    return inner if isinstance(inner, str) else name


def _promoted_value(scope: Scope | None, position: int) -> Any:
    """The value an unlinked instance input gives to an inner widget: the outermost instance that has one decides."""
    value = _ABSENT
    while scope is not None and scope.instance is not None:
        value = scope.values.get(position, value)
        outer = scope.instance_link(position)
        if outer is None or scope.parent is None:
            return value
        link = scope.parent.index.links.get(outer)
        if link is None or link.origin != "-10":
            # Linked outside to something that gives no value (a primitive, a dangling reroute): the inner value counts.
            return _ABSENT
        scope, position = scope.parent, link.slot
    return value


def _names(scope: Scope, catalog: Catalog) -> dict[str, str]:
    """Node ids by the names file name tokens use: the name for search and replace first, then the title."""
    found: dict[str, str] = {}
    titles: dict[str, str] = {}
    for node_id, record in scope.index.nodes.items():
        kind, title = type_of(record), record.get("title")
        properties = record.get("properties")
        name = properties.get("Node name for S&R") if isinstance(properties, dict) else None
        if not isinstance(name, str) or not name:
            name = kind
        found.setdefault(name, node_id)
        if not isinstance(title, str) or not title:
            spec = catalog.get(kind)
            title = spec.title if spec else ""
        titles.setdefault(title, node_id)
    return {**titles, **found}


def _without_dangling(node: GraphNode, nodes: Mapping[NodeId, GraphNode]) -> GraphNode:
    if all(link.node in nodes for _, link in node.links()):
        return node
    inputs = {k: v for k, v in node.inputs.items() if not isinstance(v, Link) or v.node in nodes}
    return GraphNode(node.id, node.type, inputs, node.title)
