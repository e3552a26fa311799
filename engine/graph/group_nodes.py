"""Group nodes, the forerunner of subgraphs: one group of `extra.groupNodes` as a subgraph record.

A group lists nodes with an `index`, links `[from index, slot, to index, slot, id, type]` among them, and `external`
outputs `[index, slot, type]`. An instance (type `workflow>Name` or `workflow/Name`) keeps the inner widget values one
node after the other. The inner nodes get their index as id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["group_graph", "group_name"]

_PREFIXES = ("workflow>", "workflow/")


def group_name(node_type: str) -> str | None:
    """The name of the group an instance's type refers to; None for other types."""
    for prefix in _PREFIXES:
        if node_type.startswith(prefix):
            return node_type[len(prefix) :]
    return None


def group_graph(
    group: Mapping[str, Any], instance: Mapping[str, Any], widget_count: Callable[[Mapping[str, Any]], int]
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """A group as (subgraph record, instance record) in the form of schema 1.

    Args:
        group: the entry of `extra.groupNodes`.
        instance: the node.
        widget_count: how many `widgets_values` entries a plain node has.
    """
    nodes = _inner_nodes(group)
    links, sources, fed = _inner_links(group, {node["id"]: node for node in nodes})
    inputs = _panel_inputs(nodes, fed, links)
    _panel_outputs(nodes, sources, group, links)
    _spread_values(nodes, instance, widget_count)
    given = instance.get("inputs")
    for item, outer in zip(inputs, given if isinstance(given, list) else []):
        # Instance inputs stand in the order of the open inner inputs; names may carry a title in front.
        if isinstance(outer, dict) and isinstance(outer.get("name"), str):
            item["name"] = outer["name"]
    record = {"nodes": nodes, "links": links, "inputs": inputs}
    return record, {**instance, "widgets_values": None}


def _inner_nodes(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = group.get("nodes")
    nodes: list[dict[str, Any]] = []
    for position, node in enumerate(found if isinstance(found, list) else ()):
        if not isinstance(node, dict):
            continue
        index = node.get("index")
        inputs: Any = node.get("inputs")
        nodes.append(
            {
                **node,
                "id": index if type(index) is int else position,
                "inputs": [dict(i) for i in inputs if isinstance(i, dict)] if isinstance(inputs, list) else [],
            }
        )
    return nodes


def _inner_links(
    group: Mapping[str, Any], nodes: Mapping[Any, dict[str, Any]]
) -> tuple[list[dict[str, Any]], set[tuple[int, int]], set[tuple[int, int]]]:
    """The links among the inner nodes, and the outputs and inputs they occupy."""
    links: list[dict[str, Any]] = []
    sources: set[tuple[int, int]] = set()
    fed: set[tuple[int, int]] = set()
    for node in nodes.values():
        for item in node["inputs"]:
            item["link"] = None
    found = group.get("links")
    for link in found if isinstance(found, list) else ():
        if not isinstance(link, list) or len(link) < 4 or any(type(part) is not int for part in link[:4]):
            continue
        origin, slot, target, target_slot = link[:4]
        if origin not in nodes or target not in nodes or not 0 <= target_slot < len(nodes[target]["inputs"]):
            continue
        link_id = len(links) + 1
        links.append({"id": link_id, "origin_id": origin, "origin_slot": slot, "target_id": target})
        nodes[target]["inputs"][target_slot]["link"] = link_id
        sources.add((origin, slot))
        fed.add((target, target_slot))
    return links, sources, fed


def _panel_inputs(
    nodes: list[dict[str, Any]], fed: set[tuple[int, int]], links: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Wire every open inner input to a panel input of its own."""
    inputs: list[dict[str, Any]] = []
    for node in nodes:
        for slot, item in enumerate(node["inputs"]):
            if (node["id"], slot) in fed:
                continue
            link_id = len(links) + 1
            links.append({"id": link_id, "origin_id": -10, "origin_slot": len(inputs), "target_id": node["id"]})
            item["link"] = link_id
            inputs.append({"name": item.get("name"), "type": item.get("type")})
    return inputs


def _panel_outputs(
    nodes: list[dict[str, Any]],
    sources: set[tuple[int, int]],
    group: Mapping[str, Any],
    links: list[dict[str, Any]],
) -> None:
    """Wire the inner outputs that are free, or listed as external, to the output panel."""
    external = group.get("external")
    wanted = {
        (item[0], item[1])
        for item in (external if isinstance(external, list) else ())
        if isinstance(item, list) and len(item) >= 2 and type(item[0]) is int and type(item[1]) is int
    }
    position = 0
    for node in nodes:
        outputs = node.get("outputs")
        for slot in range(len(outputs) if isinstance(outputs, list) else 0):
            if (node["id"], slot) in sources and (node["id"], slot) not in wanted:
                continue
            links.append(
                {
                    "id": len(links) + 1,
                    "origin_id": node["id"],
                    "origin_slot": slot,
                    "target_id": -20,
                    "target_slot": position,
                }
            )
            position += 1


def _spread_values(
    nodes: list[dict[str, Any]], instance: Mapping[str, Any], widget_count: Callable[[Mapping[str, Any]], int]
) -> None:
    values = instance.get("widgets_values")
    if not isinstance(values, list):
        return
    start = 0
    for node in nodes:
        count = widget_count(node)
        own = values[start : start + count]
        if own:
            node["widgets_values"] = own
        start += count
