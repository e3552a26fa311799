"""The executor: a pure state machine that runs graphs. Events in, instructions out; it never waits and never calls.

States of a node are described at `NodeState`. A job succeeds when all its targets are done. It stops at the first
error or when it is cancelled: nothing new starts, running nodes are interrupted, and it is finished when the last of
them has come back; values finished by then stay cached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.core.errors import AtelierError, ConflictError, NodeError, NotFoundError
from engine.core.ids import JobId, NodeId
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.desk import Desk, Lanes, Seat
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
from engine.execution.forecast import Forecast, forecast
from engine.execution.instructions import DropArtifact, FinishJob, Instruction
from engine.execution.invariants import check_invariants
from engine.execution.job_run import JobRun
from engine.execution.node_run import NodeRun, NodeState
from engine.execution.node_steps import settle, start_ready, take_error, take_lazy_answer, take_results
from engine.execution.story import EventLog, Story
from engine.graph.graph import Graph
from engine.graph.schema import NodeSpec
from engine.graph.topology import cycle_error, find_cycles

__all__ = ["Executor"]

_KEPT_STORIES = 32
_KEPT_TRANSITIONS = 200_000


class Executor:
    """Runs the graphs of any number of jobs at the same time, sharing one cache.

    Args:
        cache: finished values.
        lanes: how many nodes of all jobs together may run per lane; a lane that is not named takes one.
        log: records every event for `story.replay`; holds their values, so leave it out except for debugging.
    """

    def __init__(self, cache: ArtifactCache, lanes: Mapping[str, int], *, log: EventLog | None = None) -> None:
        self._desk = Desk(cache, Lanes(lanes))
        self._jobs: dict[JobId, JobRun] = {}
        self._stories: OrderedDict[JobId, Story] = OrderedDict()
        self._log = log
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            JobArrived: self._job_arrived,
            CallsReturned: self._calls_returned,
            NodeRaised: self._node_raised,
            LazyAnswered: self._lazy_answered,
            ArtifactLoaded: self._artifact_loaded,
            ArtifactStored: self._artifact_stored,
            ArtifactUnavailable: self._artifact_unavailable,
            CancelRequested: self._cancel_requested,
            MemoryFreed: self._memory_freed,
        }

    @property
    def cache(self) -> ArtifactCache:
        """The finished values."""
        return self._desk.cache

    @property
    def is_idle(self) -> bool:
        """Whether no job is running."""
        return not self._jobs

    @property
    def jobs(self) -> tuple[JobId, ...]:
        """The running jobs, in order of arrival."""
        return tuple(self._jobs)

    def story(self, job: JobId) -> Story:
        """The log of a running or recently finished job. Raises NotFoundError."""
        if job in self._jobs:
            return self._jobs[job].story
        try:
            return self._stories[job]
        except KeyError:
            raise NotFoundError(f"There is no story of job {job}.", hint="Only recent jobs have one.") from None

    def nodes_of(self, job: JobId) -> Graph:
        """The nodes of a running job, generated ones included. Raises NotFoundError."""
        if job not in self._jobs:
            raise NotFoundError(f"Job {job} is not running.")
        return Graph(self._jobs[job].nodes)

    def forecast(
        self,
        graph: Graph,
        specs: Mapping[str, NodeSpec],
        targets: Iterable[NodeId],
        fingerprints: Mapping[NodeId, Any],
    ) -> Forecast:
        """What a job with this graph would do now; nothing changes."""
        return forecast(graph, specs, targets, fingerprints, self._desk)

    def validate_state(self) -> None:
        """Check every invariant; raises AssertionError naming the first that does not hold. Linear in all nodes."""
        check_invariants(self._desk, self._jobs.values())

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event; give the instructions that follow from it, in order.

        Raises ConflictError for a job that is running already, and for answers to a question nobody asked (they
        would mean that loop and executor disagree about what runs).
        """
        if self._log is not None:
            self._log.add(event)
        desk = self._desk
        desk.step += 1
        desk.instructions = []
        self._handlers[type(event)](event)
        self._advance()
        desk.instructions.extend(map(DropArtifact, desk.cache.disk.take_dropped()))
        return desk.instructions

    # ---------------------------------------------------------------- events

    def _job_arrived(self, event: JobArrived) -> None:
        if event.job in self._jobs:
            raise ConflictError(f"Job {event.job} is running already.")
        job = self._jobs[event.job] = JobRun(event, self._desk)
        job.begin()

    def _calls_returned(self, event: CallsReturned) -> None:
        job, run = self._find(event, NodeState.RUNNING)
        if run.plan is None or len(event.results) != len(run.plan.calls):
            raise ConflictError(f"Node {event.node} gave {len(event.results)} results, which is not as many as asked.")
        self._desk.lanes.give_back(run.spec)
        take_results(job, run, event, self._desk)

    def _node_raised(self, event: NodeRaised) -> None:
        job, run = self._find(event, NodeState.RUNNING, NodeState.ASKING)
        if run.state is NodeState.RUNNING:
            self._desk.lanes.give_back(run.spec)
        take_error(job, run, event.error, self._desk)

    def _lazy_answered(self, event: LazyAnswered) -> None:
        job, run = self._find(event, NodeState.ASKING)
        take_lazy_answer(job, run, event.names)

    def _artifact_loaded(self, event: ArtifactLoaded) -> None:
        cache = self._desk.cache
        artifact = cache.artifact(event.outputs, event.ui, None)
        cache.put(event.address, artifact)
        if event.address in cache.disk:
            cache.disk.touch(event.address)
        for seat in self._waiting_for_disk(event.address):
            cache.pin(event.address, artifact)
            seat.job.serve(seat.run, artifact)
        cache.unpin(event.address, artifact)

    def _artifact_unavailable(self, event: ArtifactUnavailable) -> None:
        self._desk.cache.disk.forget(event.address)
        for seat in self._waiting_for_disk(event.address):
            seat.job.start_over(seat.run)

    def _artifact_stored(self, event: ArtifactStored) -> None:
        self._desk.cache.disk.add(event.address, event.size_bytes)

    def _cancel_requested(self, event: CancelRequested) -> None:
        # A job that ended while the request was on its way is no fault.
        if event.job in self._jobs:
            self._jobs[event.job].stop("cancelled")

    def _memory_freed(self, event: MemoryFreed) -> None:
        self._desk.cache.clear()

    def _find(self, event: CallsReturned | NodeRaised | LazyAnswered, *states: NodeState) -> tuple[JobRun, NodeRun]:
        job = self._jobs.get(event.job)
        run = job.runs.get(event.node) if job is not None else None
        if job is None or run is None or run.state not in states:
            raise ConflictError(f"Nothing was asked of node {event.node} of job {event.job}.")
        return job, run

    def _waiting_for_disk(self, address: Any) -> list[Seat]:
        return [seat for seat in self._desk.loads.pop(address, []) if seat.job.is_advancing]

    # ---------------------------------------------------------------- progress

    def _advance(self) -> None:
        """Start and finish what can be, until nothing moves any more. Older jobs come first."""
        has_moved = True
        while has_moved:
            has_moved = False
            settle(self._desk)
            for job in list(self._jobs.values()):
                has_moved |= start_ready(job, self._desk)
                if job.is_over:
                    self._finish(job)
                    has_moved = True
            if not has_moved:
                has_moved = self._fail_stuck_jobs()

    def _finish(self, job: JobRun) -> None:
        del self._jobs[job.id]
        job.close()
        self._keep_story(job.story)
        known = job.known_cached
        cached: list[NodeId] = [node for node in known if node not in job.ran]
        cached += [node for node in job.served if node not in known]
        self._desk.instructions.append(
            FinishJob(
                job.id,
                job.outcome,
                job.error,
                ran=tuple(job.ran),
                cached=tuple(cached),
                reasons={node: dict(reason) for node, reason in job.story.reasons.items()},
                outputs=dict(job.outputs),
            )
        )

    def _keep_story(self, story: Story) -> None:
        self._stories[story.job] = story
        length = sum(len(kept) for kept in self._stories.values())
        while len(self._stories) > _KEPT_STORIES or (length > _KEPT_TRANSITIONS and len(self._stories) > 1):
            length -= len(self._stories.popitem(last=False)[1])

    def _fail_stuck_jobs(self) -> bool:
        """Fail jobs that nothing can move any more: their nodes wait for each other. Whether there were any."""
        stuck = [job for job in self._jobs.values() if not job.is_busy]
        if len(stuck) < len(self._jobs):
            # A node that waits for an equal one elsewhere may still be served while another job is at work.
            stuck = [job for job in stuck if not job.states[NodeState.JOINING]]
        for job in stuck:
            job.fail(_cycle(job))
        return bool(stuck)


def _cycle(job: JobRun) -> AtelierError:
    waiting = [run.id for run in job.runs.values() if run.state in (NodeState.WAITING, NodeState.EXPANDED)]
    cycles = find_cycles(Graph(job.nodes), waiting)
    if cycles:
        return cycle_error(cycles[0])
    shown = ", ".join(waiting[:8])
    return NodeError(f"Nodes wait for each other: {shown}.", code="cycle", node=waiting[0] if waiting else None)
