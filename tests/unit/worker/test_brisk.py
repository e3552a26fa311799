"""Which nodes are called on the spot."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.api import Context, NodeDefinition, node
from engine.worker.brisk import BriskNodes


@node("Join")
def join(first: str = "", second: str = "") -> str:
    """Both, one after the other."""
    return first + second


@node("Save")
def save(ctx: Context, text: str = "") -> None:
    """Has a context."""


@node("Enlarge", lane="io")
def enlarge(text: str = "") -> str:
    """On another lane."""
    return text


JOIN: NodeDefinition = join.__node__
SMALL = ({"first": "a", "second": "b"},)


def proven(definition: NodeDefinition) -> BriskNodes:
    brisk = BriskNodes()
    for _ in range(3):
        brisk.note(definition.spec, 0.000_01)
    return brisk


def test_a_node_is_called_on_the_spot_after_three_quick_calls() -> None:
    brisk = BriskNodes()
    seen = []
    for _ in range(4):
        seen.append(brisk.includes(JOIN, SMALL))
        brisk.note(JOIN.spec, 0.000_01)
    assert seen == [False, False, False, True]


def test_one_slow_call_sends_the_node_back_to_its_lane() -> None:
    brisk = proven(JOIN)
    brisk.note(JOIN.spec, 0.5)
    assert not brisk.includes(JOIN, SMALL)


@pytest.mark.parametrize(
    "calls",
    [({"first": "a" * 20_000},), ({"first": torch.zeros(2)},), ({"first": ["a"]},), SMALL * 9],
    ids=["long text", "tensor", "list", "many calls"],
)
def test_large_or_unknown_values_go_to_the_lane(calls) -> None:
    assert not proven(JOIN).includes(JOIN, calls)


@pytest.mark.parametrize("definition", [save.__node__, enlarge.__node__], ids=["context", "other lane"])
def test_nodes_with_a_context_or_another_lane_go_there(definition: NodeDefinition) -> None:
    assert not proven(definition).includes(definition, ({"text": "a"},))


def test_a_node_of_a_pack_goes_to_the_lane() -> None:
    foreign = replace(JOIN, spec=replace(JOIN.spec, pack="somebody"))
    assert not proven(foreign).includes(foreign, SMALL)
