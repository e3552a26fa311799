"""What validation says about inputs that are not linked as they should be."""

from __future__ import annotations

from engine.graph.complaint import shown
from engine.graph.constants import ConstantError
from engine.graph.graph import BadLink, GraphNode, Link
from engine.graph.schema import InputSpec, OutputSpec

__all__ = ["bad_link", "missing_input", "missing_output", "missing_source", "type_mismatch"]


def missing_input(item: InputSpec) -> ConstantError:
    """A required input without value or link."""
    kind = "a value" if item.is_widget else f"a link from an output of type {item.type}"
    return ConstantError(
        "required_input_missing",
        f"{item.name} is required and has no {'value' if item.is_widget else 'link'}.",
        wanted=item.type,
        remedy=f"Give {item.name} {kind}.",
        details=item.name,
    )


def bad_link(item: InputSpec, bad: BadLink) -> ConstantError:
    """A list that is no link."""
    return ConstantError(
        "bad_linked_input",
        f"{item.name} holds a list that is no link; a link is [node id as text, output number].",
        wanted="[node id, output number]",
        remedy='Write a list that is meant as a value as {"__value__": [...]}.',
        details=item.name,
    )


def missing_source(name: str, link: Link) -> ConstantError:
    """A link whose node is not in the graph."""
    return ConstantError(
        "link_to_missing_node",
        f"{name} is linked to node {link.node}, which is not in the graph.",
        remedy="Add the node, or remove the link.",
        details=repr(shown(link.node)),
        extra={"exception_type": "KeyError"},
        comfy_type="exception_during_validation",
    )


def missing_output(name: str, link: Link, source: GraphNode, num_outputs: int) -> ConstantError:
    """A link to an output its node does not have."""
    return ConstantError(
        "link_slot_out_of_range",
        f"{name} is linked to output {link.slot} of {source.title or source.type} (node {link.node}), "
        f"which has {num_outputs}.",
        wanted=f"an output number below {num_outputs}",
        remedy="Link an existing output.",
        details="tuple index out of range",
        extra={"exception_type": "IndexError"},
        comfy_type="exception_during_validation",
    )


def type_mismatch(item: InputSpec, output: OutputSpec, link: Link, source: GraphNode) -> ConstantError:
    """A link between types that do not fit."""
    return ConstantError(
        "return_type_mismatch",
        f"{item.name} takes {item.type}, but output {link.slot} of {source.title or source.type} "
        f"(node {link.node}) is {output.type}.",
        wanted=item.type,
        remedy=f"Link an output of type {item.type}.",
        details=f"{item.name}, received_type({output.type}) mismatch input_type({item.type})",
        extra={"received_type": output.type, "linked_node": [link.node, link.slot]},
    )
