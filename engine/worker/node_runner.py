"""Carries out RunNode and AskLazy: calls the node's function on its lane and reports one event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch

from engine.api import NodeDefinition, NodeResult
from engine.core.errors import Cancelled, NodeError
from engine.core.ids import JobId, NodeId
from engine.execution.events import CallResult, CallsReturned, Event, LazyAnswered, NodeRaised
from engine.execution.instructions import AskLazy, RunNode
from engine.graph.graph import Link
from engine.protocol.messages import OutputsPlaced, OutputsStaged, PlacedFile, StagedFile
from engine.worker.brisk import BriskNodes
from engine.worker.context import NodeContext, NodeSurroundings, RunVoice
from engine.worker.dependencies import Dependencies
from engine.worker.early_files import EarlyFiles
from engine.worker.failures import node_failure
from engine.worker.foresight import Foresight
from engine.worker.hooks import hook_arguments
from engine.worker.job import RunningJob
from engine.worker.lanes import Lanes, Merger
from engine.worker.results import merge_ui, to_expansion, to_result, to_values, ui_lists
from engine.worker.value_sizes import size_of

__all__ = ["FlowMerger", "NodeRunner"]

_RunKey = tuple[JobId, NodeId]


class FlowMerger(Merger, Protocol):
    """The batcher as the runner uses it; all methods are called on the device thread."""

    def submit(
        self,
        job_key: str,
        flow: Any,
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
        *,
        alone: bool = False,
        priority: int = 0,
        node: str | None = None,
    ) -> None:
        """Drive a generator to its end among those of other jobs; exactly one of the callbacks is called."""
        ...

    def cancel(self, job_key: str) -> None:
        """Close the flows of a job; their `on_error` gets Cancelled."""
        ...


@dataclass(slots=True)
class _Run:
    """One node on its way from RunNode to CallsReturned or NodeRaised, exactly one of which is reported.

    `voice` and `contexts` (one per call) exist for functions that take a context.
    """

    instruction: RunNode
    job: RunningJob
    definition: NodeDefinition
    voice: RunVoice | None
    contexts: list[NodeContext]
    returned: list[Any]
    started_s: float = 0.0
    cost_s: float = 0.0
    held_bytes: int = 0
    num_open_flows: int = 0
    future: Future[Any] | None = None
    is_over: bool = False
    is_interrupted: bool = False
    num_early_files: int = 0
    results: list[CallResult] = field(default_factory=list)
    ui: list[Mapping[str, list[Any]] | None] = field(default_factory=list)

    @property
    def key(self) -> _RunKey:
        return (self.job.id, self.instruction.node.id)

    def call(self, index: int) -> Any:
        """Call the function for one list item (for generator and coroutine functions: make the generator)."""
        self.check_interrupted()
        return self.definition.function(**self._arguments(index))

    def check_interrupted(self) -> None:
        """Raise Cancelled when the node or its job is to stop."""
        self.job.check_cancelled(self.instruction.node.id)
        if self.is_interrupted:
            raise Cancelled("The node was interrupted.", node=self.instruction.node.id)

    def _arguments(self, index: int) -> dict[str, Any]:
        arguments = dict(self.instruction.calls[index])
        for item in self.instruction.spec.inputs:
            if item.presence == "hidden" and item.type == "DYNPROMPT":
                arguments[item.name] = self.job.live_graph
        if self.definition.context_parameter is not None:
            arguments[self.definition.context_parameter] = self.contexts[index]
        return arguments

    def staged_files(self) -> list[StagedFile]:
        """The files of all calls, numbered through after those that were placed early."""
        files = [file for context in self.contexts for file in context.staged]
        return [replace(file, ordinal=number) for number, file in enumerate(files, self.num_early_files)]


class NodeRunner:
    """Runs nodes. `post` hands events to the loop; every method may be called from the loop thread only."""

    def __init__(
        self,
        definitions: Mapping[str, NodeDefinition],
        surroundings: NodeSurroundings,
        dependencies: Dependencies,
        lanes: Lanes,
        batcher: FlowMerger,
        post: Callable[[Event], None],
    ) -> None:
        self._definitions = definitions
        self._surroundings = surroundings
        self._dependencies = dependencies
        self._lanes = lanes
        self._batcher = batcher
        self._post = post
        self._running: dict[_RunKey, _Run] = {}
        self._placing: dict[_RunKey, _Run] = {}
        self._early = EarlyFiles()
        self._brisk = BriskNodes()
        self._foresight = Foresight()

    # ------------------------------------------------------------------ for the loop

    def run(self, instruction: RunNode, job: RunningJob) -> None:
        """Start a node; CallsReturned or NodeRaised will be posted once."""
        definition = self._definitions[instruction.spec.name]
        run = _Run(instruction, job, definition, None, [], [None] * len(instruction.calls))
        if definition.context_parameter is not None:
            place, around = instruction.place, self._surroundings
            voice = run.voice = RunVoice(job, place, around)
            # Calls that overlap would number their files by chance, and differently when the job is repeated.
            commit = None if instruction.spec.is_async or definition.is_generator else partial(self._place_early, run)
            run.contexts += [NodeContext(job, place, voice, around, index, commit) for index in instruction.indices]
        self._running[run.key] = run
        if definition.is_generator or instruction.spec.lane == "device":
            self._foresight.begins(*run.key, [value for call in instruction.calls for value in call.values()])
        if definition.is_generator:
            self._lanes.device.submit(partial(self._start_flows, run))
        elif instruction.spec.is_async:
            run.future = self._lanes.coroutines.submit(self._await_calls(run))
            run.future.add_done_callback(partial(self._coroutines_ended, run))
        elif self.calls_on_the_spot(instruction):
            with torch.inference_mode():
                self._run_calls(run)
        else:
            self._lanes.named(instruction.spec.lane).submit(partial(self._run_calls, run))

    def calls_on_the_spot(self, instruction: RunNode) -> bool:
        """Whether `run` will make the calls before it returns."""
        definition = self._definitions[instruction.spec.name]
        is_plain = not definition.is_generator and not instruction.spec.is_async
        return is_plain and self._brisk.includes(definition, instruction.calls)

    def ask_lazy(self, instruction: AskLazy, job: RunningJob) -> None:
        """Start the node's lazy check; LazyAnswered or NodeRaised will be posted once."""
        self._lanes.named(instruction.spec.lane).submit(partial(self._run_lazy, instruction, job))

    def place(self, message: OutputsPlaced) -> None:
        """The server committed the files of a node; its result can be reported, or its call goes on."""
        if self._early.take(message):
            return
        run = self._placing.pop((JobId(message.job), NodeId(message.node)), None)
        if run is None:
            return  # a second answer after a renewed lease
        wanted = len(run.staged_files())
        if len(message.files) != wanted:
            self._fail(run, NodeError(f"The server placed {len(message.files)} of {wanted} files.", code="bad_frame"))
            return
        self._add_file_entries(run, message.files)
        self._report(run)

    def interrupt(self, job: RunningJob, node: NodeId | None = None) -> None:
        """Stop one node of a job, or all: coroutines and flows at once, functions before their next call or check.

        A node whose files the server was asked to place does not wait for the answer, which may never come.
        """
        for key, run in list(self._running.items()):
            if key[0] != job.id or node not in (None, key[1]):
                continue
            run.is_interrupted = True
            if run.future is not None:
                run.future.cancel()
            if self._placing.pop(key, None) is not None:
                self._fail(run, Cancelled("The job was cancelled.", node=key[1]))
            if run.definition.is_generator:
                self._lanes.device.submit(partial(self._batcher.cancel, job.id))

    def forget(self, job: RunningJob) -> None:
        """Drop what is left of an ended job."""
        self._foresight.forget(job.id)
        for runs in (self._running, self._placing):
            for key in [key for key in runs if key[0] == job.id]:
                del runs[key]

    def ended(self, job: JobId, node: NodeId) -> None:
        """The loop has seen the node's last event."""
        self._foresight.ended(job, node)
        run = self._running.pop((job, node), None)
        if run is not None and run.cost_s > 0:  # a failed node proves nothing
            self._brisk.note(run.definition.spec, run.cost_s)

    # ------------------------------------------------------------------ on the lanes

    def _run_calls(self, run: _Run) -> None:
        self._surroundings.take_held()  # what this thread did before is not the node's
        run.started_s = time.perf_counter()
        try:
            for index in range(len(run.returned)):
                run.returned[index] = run.call(index)
        except BaseException as error:  # noqa: BLE001 - code of a node may raise anything, SystemExit included
            self._fail(run, error)
            return
        self._complete(run)

    def _start_flows(self, run: _Run) -> None:
        run.started_s = time.perf_counter()
        run.num_open_flows = len(run.returned)
        try:
            for index in range(len(run.returned)):
                self._batcher.submit(
                    run.job.id,
                    run.call(index),
                    partial(self._flow_done, run, index),
                    partial(self._flow_failed, run),
                    alone=run.job.lease.alone,
                    priority=run.job.lease.priority,
                    node=run.instruction.node.id,
                )
        except BaseException as error:  # noqa: BLE001 - as above
            self._flow_failed(run, error)

    def _flow_done(self, run: _Run, index: int, value: Any) -> None:
        run.returned[index] = value
        run.num_open_flows -= 1
        if run.num_open_flows == 0 and not run.is_over:
            self._complete(run)

    def _flow_failed(self, run: _Run, error: BaseException) -> None:
        if not run.is_over:
            self._fail(run, error)
            self._batcher.cancel(run.job.id)  # the job has failed; its other flows need not go on

    async def _await_calls(self, run: _Run) -> None:
        run.started_s = time.perf_counter()
        tasks = [asyncio.ensure_future(run.call(index)) for index in range(len(run.returned))]
        try:
            run.returned[:] = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _coroutines_ended(self, run: _Run, future: Future[Any]) -> None:
        try:
            future.result()
        except CancelledError:
            self._fail(run, Cancelled("The job was cancelled.", node=run.instruction.node.id))
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(run, error)
        else:
            self._complete(run)

    def _run_lazy(self, instruction: AskLazy, job: RunningJob) -> None:
        definition = self._definitions[instruction.spec.name]
        voice = RunVoice(job, instruction.place, self._surroundings)
        node = instruction.node
        try:
            hook = definition.lazy
            names: set[str] = set()
            for call in instruction.calls:
                if hook is None:
                    break
                job.check_cancelled(node.id)
                values = dict(call)
                if definition.context_parameter is not None:
                    values[definition.context_parameter] = NodeContext(
                        job, instruction.place, voice, self._surroundings
                    )
                names.update(hook(**hook_arguments(hook, values)) or ())
            self._post(LazyAnswered(job.id, node.id, _linked_names(instruction, names)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._post(NodeRaised(job.id, node.id, self._failure(instruction, error)))

    # ------------------------------------------------------------------ from returned values to one event

    def _complete(self, run: _Run) -> None:
        run.cost_s = time.perf_counter() - run.started_s
        run.held_bytes = 0 if run.definition.spec.is_async else self._surroundings.take_held()
        try:
            for returned in run.returned:
                self._take(run, to_result(returned, run.definition))
            run.held_bytes = max(run.held_bytes, size_of([result.values for result in run.results]))
            self._foresight.made(run.job.id, [value for result in run.results for value in result.values])
        except BaseException as error:  # noqa: BLE001 - values may be objects of a pack that raise when looked at
            self._fail(run, error)
            return
        if run.voice is not None and run.voice.has_pictures:
            # The picture lane works in order: when this task runs, the node's pictures are out.
            self._surroundings.pictures.submit(partial(self._hand_over, run))
        else:
            self._hand_over(run)

    def _take(self, run: _Run, result: NodeResult) -> None:
        expansion = None
        if result.expand is not None:
            expansion = to_expansion(result.expand, self._definitions)
            expansion = replace(expansion, fingerprints=self._dependencies.fingerprints(expansion.nodes))
            run.job.live_graph.add(run.instruction.node.id, result.expand.nodes)
        run.results.append(to_values(result, run.definition, expansion))
        run.ui.append(ui_lists(result.ui, run.definition))

    def _hand_over(self, run: _Run) -> None:
        if run.voice is None:
            self._report(run)
            return
        run.voice.flush()
        files = run.staged_files()
        if not files:
            self._report(run)
            return
        self._placing[run.key] = run
        lease = run.job.lease
        run.job.send(OutputsStaged(lease.job, lease.epoch, run.instruction.node.id, files))

    def _place_early(self, run: _Run, files: Sequence[StagedFile]) -> list[PlacedFile]:
        """Name files in the middle of a call. Their numbers are the same whenever the job is repeated."""
        numbered = [replace(file, ordinal=number) for number, file in enumerate(files, run.num_early_files)]
        placed = self._early.place(run.job, run.instruction.node.id, numbered, run.check_interrupted)
        run.num_early_files += len(placed)
        return placed

    def _add_file_entries(self, run: _Run, placed: Sequence[PlacedFile]) -> None:
        position = 0
        for index, context in enumerate(run.contexts):
            entries: dict[str, list[Any]] = {key: list(items) for key, items in (run.ui[index] or {}).items()}
            for staged in context.staged:
                file = placed[position]
                entry = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type, **staged.extra}
                entries.setdefault(staged.ui_key, []).append(entry)
                position += 1
            if context.staged:
                run.ui[index] = entries

    def _report(self, run: _Run) -> None:
        if not run.is_over:
            run.is_over = True
            self._post(CallsReturned(*run.key, tuple(run.results), merge_ui(run.ui), run.cost_s, run.held_bytes))

    def _fail(self, run: _Run, error: BaseException) -> None:
        if not run.is_over:
            run.is_over = True
            if run.voice is not None:
                run.voice.flush()
            self._post(NodeRaised(*run.key, self._failure(run.instruction, error)))

    def _failure(self, instruction: RunNode | AskLazy, error: BaseException) -> Any:
        node = instruction.node
        return node_failure(
            error,
            node=node.id,
            node_type=node.type,
            title=node.title or instruction.spec.title,
            calls=instruction.calls,
        )


def _linked_names(instruction: AskLazy, names: set[str]) -> frozenset[str]:
    """The asked names that are links. Raises NodeError for a name the node has no input of."""
    inputs = instruction.node.inputs
    declared = {item.name for item in instruction.spec.inputs}
    for name in sorted(map(str, names)):
        if name not in inputs and name not in declared:
            raise NodeError(
                f"The lazy check of {instruction.spec.name} asked for an input {name!r} that it does not have.",
                code="bad_lazy_check",
                input=name,
            )
    return frozenset(name for name in names if isinstance(inputs.get(name), Link))
