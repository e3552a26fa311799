"""Content addresses of nodes, and the answer to "why did this node run".

A node's address digests what its outputs depend on: node type and version, constants, the addresses and slots it is
linked to, and its declared outside dependencies. Ids, titles and positions do not enter. Equal address, equal value.
A node that promises nothing (volatile, a fingerprint that never equals itself, a constant without a JSON form) gets an
address that occurs once.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast

from engine.core.folders import split_annotation
from engine.core.ids import Address, NodeId
from engine.graph.graph import Graph, GraphNode, Link
from engine.graph.schema import FileChoices, NodeSpec
from engine.graph.topology import partial_order

__all__ = ["FileDependency", "Signature", "addresses", "explain", "file_dependencies", "never_equal", "signature"]

WORKING_FOLDERS = ("input", "output", "temp")
_ADDRESS_BYTES = 20
_SHOWN_CHARACTERS = 80
_ABSENT = object()
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=True).encode


def addresses(
    graph: Graph,
    specs: Mapping[str, NodeSpec],
    fingerprints: Mapping[NodeId, Any] | None = None,
    *,
    known: Mapping[NodeId, Address] | None = None,
    once: Callable[[NodeId], Address] | None = None,
) -> dict[NodeId, Address]:
    """The address of every node of `graph` whose type is in `specs`, in one linear pass.

    Args:
        graph: need not be valid. Nodes on or below a cycle, with a dangling link or of an unknown type never run,
            so they get an address that occurs once.
        specs: the specs of the node types.
        fingerprints: declared outside dependencies per node, JSON values; see `never_equal`.
        known: addresses of nodes outside `graph` that it is linked to (a generated subgraph's surroundings).
        once: makes the addresses that occur once, given the node; random ones when None.
    """
    outside = fingerprints or {}
    mint = once or _unique_address
    found: dict[NodeId, Address] = {}
    sources: Mapping[NodeId, Address] = ChainMap(found, cast("dict[NodeId, Address]", known)) if known else found
    plans: dict[str, _Plan] = {}
    nodes = graph.nodes
    for node_id in partial_order(graph):
        node = nodes[node_id]
        plan = plans.get(node.type)
        if plan is None:
            plan = plans[node.type] = _Plan.of(specs.get(node.type))
        found[node_id] = _address(node, plan, sources, outside.get(node_id)) or mint(node_id)
    for node_id in nodes:
        if node_id not in found:
            found[node_id] = mint(node_id)
    return found


def never_equal(fingerprint: Any) -> bool:
    """Whether a fingerprint holds a NaN anywhere: the way node hooks say "always run"."""
    waiting = [fingerprint]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and math.isnan(value):
            return True
        if isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
    return False


@dataclass(frozen=True, slots=True)
class FileDependency:
    """A node's input that names a file. `folder` is a model folder key or input, output, temp; `name` is bare."""

    node: NodeId
    input: str
    folder: str
    name: str


def file_dependencies(graph: Graph, specs: Mapping[str, NodeSpec]) -> list[FileDependency]:
    """Every file the constants of the graph name, for the worker to find and digest.

    Linked file names are not known before the run; such nodes get an address that occurs once.
    """
    found: list[FileDependency] = []
    plans: dict[str, _Plan] = {}
    for node_id, node in graph.nodes.items():
        plan = plans.get(node.type)
        if plan is None:
            plan = plans[node.type] = _Plan.of(specs.get(node.type))
        for name, choices in plan.files.items():
            value = node.inputs.get(name)
            if not isinstance(value, str) or value in choices.also:
                continue
            folder, bare = choices.folder, value
            if folder in WORKING_FOLDERS:
                bare, folder = split_annotation(value, folder)
            found.append(FileDependency(node_id, name, folder, bare))
    return found


# ------------------------------------------------------------------ why a node ran


@dataclass(frozen=True, slots=True)
class Signature:
    """What an address was made of, short enough to keep: values over 80 characters are cut and digested."""

    type: str
    version: str
    address: Address
    inputs: Mapping[str, str]
    links: frozenset[str] = frozenset()
    fingerprint: str = ""
    is_volatile: bool = False


def signature(
    node: GraphNode,
    spec: NodeSpec,
    addresses: Mapping[NodeId, Address],
    fingerprints: Mapping[NodeId, Any] | None = None,
) -> Signature:
    """The record that `explain` compares; `addresses` is the result of the function of that name."""
    outside = (fingerprints or {}).get(node.id)
    plan = _Plan.of(spec)
    visible = set(plan.names)
    if plan.takes_any:
        visible |= node.inputs.keys() - plan.declared
    inputs = {}
    for name, value in node.inputs.items():
        if type(value) is Link:
            inputs[name] = f"[{value.slot}] of {addresses.get(value.node, 'a missing node')}"
        elif name in visible:
            inputs[name] = _short(value)
    return Signature(
        type=spec.name,
        version=spec.version,
        address=addresses[node.id],
        inputs=inputs,
        links=frozenset(name for name, _ in node.links()),
        fingerprint="" if outside is None else _short(outside),
        is_volatile=spec.is_volatile or never_equal(outside) or _has_linked_file(node, plan),
    )


def explain(old: Signature | None, new: Signature) -> dict[str, Any]:
    """Why a node ran, given the signature of the last run to compare with (None: there was none).

    `reason` is first_run, type_changed, version_changed, inputs_changed, outside_changed (a file or fingerprint),
    always_runs, or not_kept (nothing differs, the value was evicted). `inputs` lists {input, was, is, upstream}; an
    input with `upstream` true is linked to a node that itself changed.
    """
    if old is None:
        return {"reason": "always_runs" if new.is_volatile else "first_run"}
    if old.type != new.type:
        return {"reason": "type_changed", "was": old.type, "is": new.type}
    if old.version != new.version:
        return {"reason": "version_changed", "was": old.version, "is": new.version}
    changed = []
    for name in sorted(old.inputs.keys() | new.inputs.keys()):
        was, now = old.inputs.get(name), new.inputs.get(name)
        if was != now:
            changed.append({"input": name, "was": was, "is": now, "upstream": name in old.links & new.links})
    if changed:
        return {"reason": "inputs_changed", "inputs": changed}
    if new.is_volatile:
        return {"reason": "always_runs"}
    if old.fingerprint != new.fingerprint:
        return {"reason": "outside_changed", "was": old.fingerprint, "is": new.fingerprint}
    return {"reason": "not_kept"}


# ------------------------------------------------------------------ parts


@dataclass(frozen=True, slots=True)
class _Plan:
    """What of a spec matters for addresses, computed once per node type."""

    head: str
    names: tuple[str, ...]
    declared: frozenset[str]
    files: Mapping[str, FileChoices]
    depends_on_id: bool
    is_volatile: bool
    takes_any: bool = False

    @classmethod
    def of(cls, spec: NodeSpec | None) -> _Plan:
        if spec is None:
            return cls("", (), frozenset(), {}, False, True)
        return cls(
            head=f"{len(spec.name)}:{spec.name}{spec.version}",
            names=tuple(sorted(item.name for item in spec.inputs if item.presence != "hidden")),
            declared=frozenset(item.name for item in spec.inputs),
            files={item.name: item.choices for item in spec.inputs if isinstance(item.choices, FileChoices)},
            depends_on_id=spec.depends_on_id,
            is_volatile=spec.is_volatile,
            takes_any=spec.any_input is not None,
        )


def _address(node: GraphNode, plan: _Plan, sources: Mapping[NodeId, Address], outside: Any) -> Address | None:
    """Digest of one text that cannot be read in two ways; None when the address has to be one that occurs once."""
    if plan.is_volatile or (outside is not None and never_equal(outside)):
        return None
    parts = [plan.head]
    add = parts.append
    num_taken = 0
    inputs = node.inputs
    try:
        for name in plan.names:
            value: Any = inputs.get(name, _ABSENT)
            if value is _ABSENT:
                continue
            num_taken += 1
            kind = type(value)
            if kind is str:
                add(f"{name}=s{len(value)}:{value}")
            elif kind is Link:
                if name in plan.files:
                    return None
                add(f"{name}@{value.slot}:{sources[value.node]}")
            elif kind is int or kind is float or kind is bool or value is None:
                add(f"{name}={value!r}")
            else:
                text = _encode(value)
                add(f"{name}=j{len(text)}:{text}")
        if num_taken < len(inputs):
            parts += _undeclared(node, plan, sources)
        if outside is not None:
            add(f"outside={_encode(outside)}")
    except (TypeError, ValueError, RecursionError, KeyError):
        # Only generated nodes carry constants without a JSON form (tensors, objects), and only nodes that cannot run
        # have dangling links; nothing can be promised about either.
        return None
    if plan.depends_on_id:
        add(f"id={node.id}")
    digest = blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=_ADDRESS_BYTES)
    return Address(digest.hexdigest())


def _undeclared(node: GraphNode, plan: _Plan, sources: Mapping[NodeId, Address]) -> list[str]:
    """Inputs the spec does not list, as far as they reach the function: links always (it may take any keyword),
    constants when the node takes every name. Raises KeyError for a dangling link, and what `_encode` raises.
    """
    parts = []
    for name in sorted(node.inputs.keys() - plan.declared):
        value = node.inputs[name]
        if type(value) is Link:
            parts.append(f"+{len(name)}:{name}@{value.slot}:{sources[value.node]}")
        elif plan.takes_any:
            text = _encode(value)
            parts.append(f"+{len(name)}:{name}=j{len(text)}:{text}")
    return parts


def _unique_address(node: NodeId) -> Address:
    """An address that occurs once, whatever the node."""
    return Address(blake2b(uuid.uuid4().bytes, digest_size=_ADDRESS_BYTES).hexdigest())


def _has_linked_file(node: GraphNode, plan: _Plan) -> bool:
    return any(type(node.inputs.get(name)) is Link for name in plan.files)


def _short(value: Any) -> str:
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}… {blake2b(text.encode('ascii'), digest_size=8).hexdigest()}"
