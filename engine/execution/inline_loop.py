"""A synchronous driver of an executor: every instruction is carried out on the spot, one after another.

What the worker's loop does with threads and a device, in its plainest form: for node functions that need neither,
and as the reference for how instructions are to be read.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import AtelierError, NodeError
from engine.core.ids import Address, JobId, NodeId
from engine.execution.events import (
    ArtifactLoaded,
    ArtifactStored,
    ArtifactUnavailable,
    CallResult,
    CallsReturned,
    Event,
    LazyAnswered,
    NodeRaised,
)
from engine.execution.executor import Executor
from engine.execution.instructions import (
    AskLazy,
    DropArtifact,
    FinishJob,
    Instruction,
    LoadArtifact,
    Report,
    RunNode,
    StoreArtifact,
)

__all__ = ["InlineLoop", "NodeFunction", "Shown", "run_inline"]

NodeFunction = Callable[..., Any]
"""Takes a node's arguments; returns Shown, CallResult, a tuple of values, or one value; may raise AtelierError."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The result of a call that has UI output."""

    ui: Mapping[str, list[Any]]
    result: CallResult = field(default_factory=CallResult)


@dataclass(slots=True)
class InlineLoop:
    """Carries out the instructions of one executor.

    `functions`, `lazy_checks` and `costs_s` are by node type; a lazy check returns the names it wants. `disk` is the
    disk: artifacts by address. `finished` collects the jobs that ended, `reports` and `instructions` everything that
    was asked for, `calls` the nodes called, in order; `waiting` are the instructions not yet carried out.
    """

    executor: Executor
    functions: Mapping[str, NodeFunction]
    lazy_checks: Mapping[str, Callable[..., Iterable[str]]] = field(default_factory=dict)
    costs_s: Mapping[str, float] = field(default_factory=dict)
    disk: dict[Address, StoreArtifact] = field(default_factory=dict)
    finished: dict[JobId, FinishJob] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    calls: list[tuple[JobId, NodeId]] = field(default_factory=list)
    waiting: deque[Instruction] = field(default_factory=deque)

    def feed(self, event: Event) -> None:
        """Hand an event to the executor and note what it wants; nothing is carried out yet."""
        for instruction in self.executor.handle(event):
            self.instructions.append(instruction)
            if isinstance(instruction, FinishJob):
                self.finished[instruction.job] = instruction
            elif isinstance(instruction, Report):
                self.reports.append(instruction)
            elif isinstance(instruction, DropArtifact):
                self.disk.pop(instruction.address, None)
            else:
                self.waiting.append(instruction)

    def step(self, index: int = 0) -> bool:
        """Carry out one waiting instruction (the oldest, or the one at `index`); False when there is none."""
        if not self.waiting:
            return False
        self.waiting.rotate(-index)
        instruction = self.waiting.popleft()
        self.waiting.rotate(index)
        event = self._carry_out(instruction)
        if event is not None:
            self.feed(event)
        return True

    def run(self) -> None:
        """Carry out everything until the executor wants no more."""
        while self.step():
            pass

    def _carry_out(self, instruction: Instruction) -> Event | None:
        if isinstance(instruction, RunNode):
            return self._call(instruction)
        if isinstance(instruction, AskLazy):
            check = self.lazy_checks[instruction.node.type]
            names = frozenset(name for arguments in instruction.calls for name in check(**arguments))
            return LazyAnswered(instruction.job, instruction.node.id, names)
        if isinstance(instruction, StoreArtifact):
            self.disk[instruction.address] = instruction
            return ArtifactStored(instruction.address, size_bytes=1)
        if isinstance(instruction, LoadArtifact):
            stored = self.disk.get(instruction.address)
            if stored is None:
                return ArtifactUnavailable(instruction.address)
            return ArtifactLoaded(instruction.address, stored.outputs, stored.ui, size_bytes=1)
        # InterruptNode: nothing runs between two instructions.
        return None

    def _call(self, instruction: RunNode) -> Event:
        node = instruction.node
        self.calls.append((instruction.job, node.id))
        function = self.functions[node.type]
        try:
            given = [function(**arguments) for arguments in instruction.calls]
        except AtelierError as error:
            return NodeRaised(instruction.job, node.id, error)
        except TypeError as error:
            if not _is_about_arguments(function, instruction.calls):
                raise
            return NodeRaised(instruction.job, node.id, NodeError(str(error), code="bad_arguments", node=node.id))
        results = tuple(map(_as_result, given))
        return CallsReturned(instruction.job, node.id, results, _merged_ui(given), self.costs_s.get(node.type, 0.0))


def run_inline(executor: Executor, arrived: Event, functions: Mapping[str, NodeFunction], **options: Any) -> InlineLoop:
    """Run a job (a JobArrived event) to its end; `options` are further fields of the InlineLoop that is returned."""
    loop = InlineLoop(executor, functions, **options)
    loop.feed(arrived)
    loop.run()
    return loop


def _as_result(value: Any) -> CallResult:
    if isinstance(value, Shown):
        return value.result
    if isinstance(value, CallResult):
        return value
    return CallResult(value if isinstance(value, tuple) else (value,))


def _merged_ui(given: list[Any]) -> Mapping[str, list[Any]] | None:
    uis = [value.ui for value in given if isinstance(value, Shown)]
    return {key: [item for ui in uis for item in ui[key]] for key in uis[0]} if uis else None


def _is_about_arguments(function: NodeFunction, calls: Iterable[Mapping[str, Any]]) -> bool:
    signature = inspect.signature(function)
    for arguments in calls:
        try:
            signature.bind(**arguments)
        except TypeError:
            return True
    return False
