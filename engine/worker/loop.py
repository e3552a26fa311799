"""The shell around the executor: messages → events → instructions → lanes → reports. One thread decides everything."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from engine.api import NodeDefinition
from engine.core.errors import AtelierError, ProtocolError
from engine.core.ids import JobId, NodeId
from engine.execution.events import (
    ArtifactLoaded,
    ArtifactStored,
    ArtifactUnavailable,
    CallsReturned,
    CancelRequested,
    Event,
    JobArrived,
    LazyAnswered,
    MemoryFreed,
    NodeRaised,
)
from engine.execution.forecast import Forecast
from engine.execution.instructions import (
    AskLazy,
    DropArtifact,
    FinishJob,
    Instruction,
    InterruptNode,
    LoadArtifact,
    Report,
    RunNode,
    StoreArtifact,
)
from engine.graph.graph import Graph
from engine.graph.prompt import parse_prompt
from engine.graph.schema import NodeSpec
from engine.memory.host_heap import HeapTrimming
from engine.protocol.messages import (
    CallPack,
    CancelJob,
    CheckPrompt,
    CheckReply,
    ForecastPrompt,
    ForecastReply,
    FreeMemory,
    JobDone,
    Lease,
    Message,
    OutputsPlaced,
    RefreshCatalog,
    ReportEntry,
    Shutdown,
)
from engine.worker.artifact_store import ArtifactStore
from engine.worker.batcher import Forward
from engine.worker.cache_writer import CacheWriter
from engine.worker.dependencies import Dependencies
from engine.worker.failures import is_failed_allocation
from engine.worker.job import RunningJob
from engine.worker.lanes import Lanes
from engine.worker.live_graph import LiveGraph
from engine.worker.model_room import FreeableLibrary
from engine.worker.node_runner import NodeRunner
from engine.worker.node_times import NodeTimes
from engine.worker.outcome import job_done
from engine.worker.prompt_check import check_prompt

__all__ = ["EventHandler", "WorkerLoop"]

_LOG = logging.getLogger(__name__)
_MIN_STORED_COST_S = 0.02
"""A value made faster than this is not written to disk: opening its file would take as long."""

_LAST_WRITES_S = 60.0
"""How long the end of the process waits for values on their way to disk, if the server lets it; a disk that hangs must
not keep it."""

_MAX_UNSENT = 64
"""Reports that travel in one frame at most, so that a listener sees a long chain of quick nodes advance."""

Step = Callable[[], None]


class EventHandler(Protocol):
    """The executor as the loop uses it."""

    def handle(self, event: Event) -> list[Instruction]:
        """Take an event; what is to be done now."""
        ...

    def forecast(
        self, graph: Graph, specs: Mapping[str, NodeSpec], targets: Sequence[NodeId], fingerprints: Mapping[NodeId, Any]
    ) -> Forecast:
        """What a job with this graph would do now."""
        ...


class WorkerLoop:
    """Runs leases until it is told to stop. `receive` and `post` may be called from any thread, `run` from one.

    Args:
        executor: the state machine; only the thread of `run` touches it.
        definitions: all loaded nodes.
        send: sends a message to the server; thread-safe.
        publish_catalog: answers RefreshCatalog.
        models: who owns the weights.
        call_pack: begins to answer CallPack; must return at once.
    """

    def __init__(
        self,
        executor: EventHandler,
        definitions: Mapping[str, NodeDefinition],
        make_runner: Callable[[Callable[[Event], None]], NodeRunner],
        dependencies: Dependencies,
        lanes: Lanes,
        store: ArtifactStore,
        send: Callable[[Message], None],
        publish_catalog: Callable[[], None],
        models: FreeableLibrary,
        call_pack: Callable[[CallPack], None],
    ) -> None:
        self._executor = executor
        self._definitions = definitions
        self._specs = {name: definition.spec for name, definition in definitions.items()}
        self._runner = make_runner(self.post)
        self._dependencies = dependencies
        self._lanes = lanes
        self._store = store
        self._writer = CacheWriter(store, lanes.io.submit)
        self._send = send
        self._publish_catalog = publish_catalog
        self._models = models
        self._steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._times = NodeTimes()
        self._heap = HeapTrimming()
        self._jobs: dict[JobId, RunningJob] = {}
        self._unsent: dict[JobId, list[ReportEntry]] = {}
        self._num_unsent = 0
        self._wants_unload = False
        self._wants_drop = False
        self._is_stopping = False
        self._is_over = False
        self._receivers: Mapping[type[Message], Callable[[Any], None]] = {
            Lease: self._on_lease,
            CancelJob: self._on_cancel,
            OutputsPlaced: self._runner.place,
            FreeMemory: self._on_free,
            RefreshCatalog: lambda _: self._lanes.validators.submit(self._publish_catalog),
            CheckPrompt: self._on_check,
            ForecastPrompt: self._on_forecast,
            CallPack: call_pack,
            Shutdown: self._on_shutdown,
        }
        self._performers: Mapping[type[Instruction], Callable[[Any], None]] = {
            RunNode: self._run_node,
            AskLazy: self._ask_lazy,
            Report: self._report,
            FinishJob: self._finish,
            InterruptNode: self._interrupt,
            LoadArtifact: lambda order: self._lanes.io.submit(partial(self._load, order)),
            StoreArtifact: self._store_artifact,
            DropArtifact: lambda order: self._lanes.io.submit(partial(self._store.drop, order.address)),
        }

    # ------------------------------------------------------------------ from any thread

    def receive(self, message: Message) -> None:
        """A message of the server. Raises ProtocolError for one that has no place here (a second Start)."""
        receiver = self._receivers.get(type(message))
        if receiver is None:
            raise ProtocolError(f"A {type(message).__name__} message has no place here.")
        self._steps.put(partial(receiver, message))

    def post(self, event: Event) -> None:
        """Something the executor waits for has happened."""
        self._steps.put(partial(self._happened, event))

    def job_ids(self) -> list[str]:
        """The jobs it holds."""
        return list(self._jobs)

    def count_forward(self, forward: Forward) -> None:
        """A forward ran; on the thread that ran it."""
        held_bytes = self._models.take_held()
        for name in forward.jobs:
            job = self._jobs.get(JobId(str(name)))
            if job is not None:
                job.num_forwards += 1
                job.num_shared_forwards += len(forward.jobs) > 1
        for name, node in forward.nodes:
            job = self._jobs.get(JobId(str(name)))
            if job is not None:
                job.note_held(NodeId(str(node)), held_bytes)

    def finish_writing(self) -> None:
        """Return when the values made so far are on disk, where a restart finds them, or after a minute."""
        if not self._writer.finish(_LAST_WRITES_S):
            _LOG.warning("Some values were not written to disk in time; they will be computed again.")

    def run(self) -> None:
        """Work until shut down, and finish writing."""
        while not self._is_over:
            try:
                step = self._steps.get_nowait()
            except queue.Empty:
                self._flush()
                step = self._steps.get()
            step()
        self.finish_writing()

    # ------------------------------------------------------------------ messages

    def _on_lease(self, lease: Lease) -> None:
        known = self._jobs.get(JobId(lease.job))
        if known is not None:
            known.lease = lease  # leased anew while it still runs here: it goes on under the new epoch
            return
        started_s = time.perf_counter()
        try:
            graph = parse_prompt(lease.prompt)
        except AtelierError as error:
            self._send(JobDone(lease.job, lease.epoch, "failed", error.to_json()))
            return
        position = self._models.memory_position()
        job = RunningJob(lease, graph, self._send, started_s, LiveGraph(lease.prompt), memory_position=position)
        self._jobs[job.id] = job
        given = {NodeId(node): record["is_changed"] for node, record in lease.prompt.items() if "is_changed" in record}
        fingerprints = self._dependencies.quick_fingerprints(graph, given)
        if fingerprints is None:
            self._lanes.io.submit(partial(self._prepare, job, given))
        else:
            self._start(job, fingerprints)

    def _prepare(self, job: RunningJob, given: Mapping[NodeId, Any]) -> None:
        """On the io lane: read files and call hooks."""
        fingerprints = self._dependencies.fingerprints(job.graph, given)
        self._steps.put(partial(self._start, job, fingerprints))

    def _start(self, job: RunningJob, fingerprints: Mapping[NodeId, Any]) -> None:
        extra = job.lease.extra
        hidden = {
            "PROMPT": job.lease.prompt,
            "EXTRA_PNGINFO": extra.get("extra_pnginfo"),
            "AUTH_TOKEN_COMFY_ORG": extra.get("auth_token_comfy_org"),
            "API_KEY_COMFY_ORG": extra.get("api_key_comfy_org"),
        }
        targets = tuple(map(NodeId, job.lease.targets))
        job.is_started = True
        self._happened(JobArrived(job.id, job.graph, self._specs, targets, fingerprints, hidden))
        if job.cancelled.is_set() and job.id in self._jobs:
            self._happened(CancelRequested(job.id))

    def _on_cancel(self, message: CancelJob) -> None:
        job = self._jobs.get(JobId(message.job))
        if job is None or job.cancelled.is_set():
            return
        job.cancelled.set()
        if job.is_started:
            self._runner.interrupt(job)
            self._happened(CancelRequested(job.id))

    def _on_free(self, message: FreeMemory) -> None:
        self._wants_unload |= message.unload_models
        self._wants_drop |= message.drop_cache
        self._settle()

    def _on_check(self, message: CheckPrompt) -> None:
        def check() -> None:
            complaints = check_prompt(message.prompt, message.nodes, self._definitions)
            self._send(CheckReply(message.request, complaints))

        self._lanes.validators.submit(check)

    def _on_forecast(self, message: ForecastPrompt) -> None:
        def prepare() -> None:
            """On the io lane: files may have to be read to know whether they are the same."""
            fingerprints: Mapping[NodeId, Any] = {}
            try:
                graph = parse_prompt(message.prompt)
                fingerprints = self._dependencies.fingerprints(graph)
            except AtelierError:
                graph = Graph({})  # it will be refused with its reason when it is queued
            self._steps.put(partial(answer, graph, fingerprints))

        def answer(graph: Graph, fingerprints: Mapping[NodeId, Any]) -> None:
            targets = list(map(NodeId, message.targets))
            found = self._executor.forecast(graph, self._specs, targets, fingerprints)
            runs = [
                {"node": node, "reason": dict(reason), "seconds": self._times.expected(graph[node])}
                for node, reason in found.runs.items()
            ]
            self._send(ForecastReply(message.request, list(found.cached), runs))

        self._lanes.io.submit(prepare)

    def _on_shutdown(self, message: Shutdown) -> None:
        self._is_stopping = True
        if message.grace_s > 0 and self._jobs:
            timer = threading.Timer(message.grace_s, lambda: self._steps.put(self._stop))
            timer.daemon = True
            timer.start()
        else:
            self._stop()

    def _stop(self) -> None:
        self._is_over = True

    # ------------------------------------------------------------------ events and instructions

    def _happened(self, event: Event) -> None:
        if isinstance(event, (CallsReturned, NodeRaised, LazyAnswered)):
            job = self._jobs.get(event.job)
            if job is None:
                return
            self._note(job, event)
        for instruction in self._executor.handle(event):
            self._performers[type(instruction)](instruction)

    def _note(self, job: RunningJob, event: CallsReturned | NodeRaised | LazyAnswered) -> None:
        self._runner.ended(job.id, event.node)
        if isinstance(event, CallsReturned):
            job.node_seconds[event.node] = job.node_seconds.get(event.node, 0.0) + event.cost_s
            job.note_held(event.node, event.held_bytes)
        elif isinstance(event, NodeRaised) and is_failed_allocation(event.error):
            # Whatever filled the memory, the weights are what can be given back and read again.
            self._lanes.device.submit(self._models.free)

    def _run_node(self, instruction: RunNode) -> None:
        if not self._runner.calls_on_the_spot(instruction):
            self._flush()  # the lane may report progress of its own; the start comes first
        self._runner.run(instruction, self._jobs[instruction.job])

    def _ask_lazy(self, instruction: AskLazy) -> None:
        self._flush()
        self._runner.ask_lazy(instruction, self._jobs[instruction.job])

    def _interrupt(self, instruction: InterruptNode) -> None:
        self._runner.interrupt(self._jobs[instruction.job], instruction.node)

    def _report(self, instruction: Report) -> None:
        data = dict(instruction.data)
        held_bytes = self._jobs[instruction.job].held_bytes if instruction.kind == "node_finished" else {}
        if not data.get("cached") and data.get("node") in held_bytes:
            data["held_bytes"] = held_bytes[data["node"]]
        self._unsent.setdefault(instruction.job, []).append(ReportEntry(instruction.kind, data))
        self._num_unsent += 1
        if self._num_unsent >= _MAX_UNSENT:
            self._flush()

    def _flush(self) -> None:
        """Send the reports that were kept to travel together."""
        if self._unsent:
            for job, entries in self._unsent.items():
                self._jobs[job].report_together(entries)
            self._unsent.clear()
            self._num_unsent = 0

    def _finish(self, instruction: FinishJob) -> None:
        self._flush()
        job = self._jobs.pop(instruction.job)
        for node, seconds in job.node_seconds.items():
            if node in job.graph:
                self._times.remember(job.graph[node], seconds)
        self._runner.forget(job)
        story = self._models.memory_story(job.memory_position)
        self._send(job_done(instruction, job, time.perf_counter() - job.started_s, story))
        self._lanes.io.submit(self._heap.after_job)
        self._settle()

    def _load(self, instruction: LoadArtifact) -> None:
        found = self._store.load(instruction.address)
        if found is None:
            self.post(ArtifactUnavailable(instruction.address))
        else:
            self.post(ArtifactLoaded(instruction.address, found.outputs, found.ui, found.size_bytes))

    def _store_artifact(self, instruction: StoreArtifact) -> None:
        if instruction.cost_s >= _MIN_STORED_COST_S:
            self._writer.write(instruction, lambda address, size_bytes: self.post(ArtifactStored(address, size_bytes)))

    def _settle(self) -> None:
        """What waits for the running jobs to end."""
        if self._jobs:
            return
        if self._wants_drop:
            self._happened(MemoryFreed())
        if self._wants_unload:
            self._lanes.device.submit(self._models.free)
        self._wants_unload = self._wants_drop = False
        if self._is_stopping:
            self._stop()
