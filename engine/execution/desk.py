"""What the running jobs of one executor share: cache, lanes, and who is making or waiting for which value."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.core.ids import Address
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.instructions import Instruction
from engine.execution.node_run import NodeRun
from engine.execution.story import SignatureTable
from engine.graph.schema import NodeSpec

if TYPE_CHECKING:
    from engine.execution.job_run import JobRun

__all__ = ["ASYNC_LANE", "Claim", "Desk", "Lanes", "Seat"]

ASYNC_LANE = "async"
"""Where async nodes queue, whatever lane their spec names; it always has room."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A node of a running job."""

    job: JobRun
    run: NodeRun


@dataclass(slots=True)
class Claim:
    """An address whose value is being made: by whom, and who waits for it."""

    owner: Seat
    waiters: list[Seat] = field(default_factory=list)


class Lanes:
    """How many nodes may run at a time on each lane. Async nodes take no place; unnamed lanes have one place."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)
        self.in_use: dict[str, int] = {}

    def has_room(self, lane: str) -> bool:
        """Whether one more node may run there."""
        return lane == ASYNC_LANE or self.in_use.get(lane, 0) < self.limits.get(lane, 1)

    def take(self, spec: NodeSpec) -> None:
        """A node starts."""
        if not spec.is_async:
            self.in_use[spec.lane] = self.in_use.get(spec.lane, 0) + 1

    def give_back(self, spec: NodeSpec) -> None:
        """A node ended."""
        if not spec.is_async:
            self.in_use[spec.lane] -= 1


class Desk:
    """Shared by the jobs of one executor.

    `settled` are nodes that became DONE and whose consumers have not been told; `instructions` is what the event at
    hand asks for; `step` counts the events handled.
    """

    def __init__(self, cache: ArtifactCache, lanes: Lanes) -> None:
        self.cache = cache
        self.lanes = lanes
        self.signatures = SignatureTable()
        self.claims: dict[Address, Claim] = {}
        self.loads: dict[Address, list[Seat]] = {}
        self.settled: deque[Seat] = deque()
        self.instructions: list[Instruction] = []
        self.step = 0

    def give_up(self, address: Address, owner: NodeRun) -> None:
        """The value will not come from `owner`: whoever waited for it starts over."""
        claim = self.claims.get(address)
        if claim is None or claim.owner.run is not owner:
            return
        del self.claims[address]
        for seat in claim.waiters:
            seat.job.start_over(seat.run)
