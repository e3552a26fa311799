"""What is true of an executor between two events. Tests check it after every one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from engine.core.ids import Address
from engine.execution.desk import ASYNC_LANE, Desk
from engine.execution.job_run import JobRun
from engine.execution.node_run import NodeRun, NodeState

__all__ = ["check_invariants"]

_AT_WORK = (NodeState.ASKING, NodeState.RUNNING, NodeState.EXPANDED, NodeState.WAITING, NodeState.READY)


def check_invariants(desk: Desk, jobs: Collection[JobRun]) -> None:
    """Raise AssertionError naming the first invariant that does not hold."""
    _require(not desk.settled, "every settled node has told its consumers")
    for job in jobs:
        _check_job(job)
    _check_lanes(desk, jobs)
    _check_claims(desk)
    _check_cache(desk, jobs)


def _check_job(job: JobRun) -> None:
    runs = job.runs.values()
    _require(not job.is_over, "a job that is over has been finished", job.id)
    _require(job.is_busy or not job.is_advancing or bool(job.states[NodeState.JOINING]), "a job can move on", job.id)
    counted = Counter(run.state for run in runs)
    for state in NodeState:
        _require(counted[state] == job.states[state], "state counts are right", job.id, state)
    waiting = Counter(waiter.id for run in runs for waiter in run.waiters)
    held = Counter(source.id for run in runs for source in run.held)
    queued = {node for heap in job.ready.values() for _, _, node in heap}
    for run in runs:
        _require(run.holders == held[run.id], "holders are counted", job.id, run.id)
        _require((run.artifact is not None) == (run.state is NodeState.DONE), "done nodes have values", job.id, run.id)
        if job.is_advancing:
            _require(run.missing == waiting[run.id], "missing counts open sources", job.id, run.id)
            _check_advancing(run, run.id in queued)


def _check_advancing(run: NodeRun, is_queued: bool) -> None:
    state = run.state
    _require(not run.waiters or state is not NodeState.DONE, "nobody waits for a done node", run.id)
    _require(not run.waiters or not state.is_startable, "what others wait for is under way", run.id)
    _require(not run.missing or state in (NodeState.WAITING, NodeState.EXPANDED), "only these states wait", run.id)
    _require(bool(run.missing) or state is not NodeState.WAITING, "a waiting node waits for something", run.id)
    _require(is_queued or state is not NodeState.READY, "a ready node is queued", run.id)
    _require((run.plan is not None) == (state is NodeState.RUNNING), "running nodes have a plan", run.id)
    _require((run.results is not None) == (state is NodeState.EXPANDED), "expanded nodes keep results", run.id)
    _require(not run.held or state in _AT_WORK, "only nodes at work hold values", run.id)
    _require(run.holders > 0 or run.is_kept or state is not NodeState.DONE, "values nobody needs are released", run.id)
    _require(run.wanted <= run.lazy.keys(), "only lazy inputs are asked for", run.id)
    for source in run.held:
        is_needed = state in (NodeState.ASKING, NodeState.RUNNING, NodeState.READY)
        needed = {link.node for link in run.strong.values()} | {run.lazy[name].node for name in run.wanted}
        if is_needed and source.id in needed:
            _require(source.state is NodeState.DONE, "inputs stay until their consumer is done", run.id, source.id)


def _check_lanes(desk: Desk, jobs: Collection[JobRun]) -> None:
    running = Counter(
        run.spec.lane
        for job in jobs
        for run in job.runs.values()
        if run.state is NodeState.RUNNING and not run.spec.is_async
    )
    for lane in running.keys() | desk.lanes.in_use.keys():
        in_use = desk.lanes.in_use.get(lane, 0)
        _require(running[lane] == in_use, "lane places are counted", lane)
        _require(in_use <= desk.lanes.limits.get(lane, 1), "lanes keep their limit", lane)
    for job in jobs:
        for lane in job.ready:
            states = {job.runs[node].state for _, _, node in job.ready[lane]}
            is_free = lane == ASYNC_LANE or desk.lanes.has_room(lane)
            _require(NodeState.READY not in states or not is_free, "no ready node waits for a free lane", lane)


def _check_claims(desk: Desk) -> None:
    for address, claim in desk.claims.items():
        owner = claim.owner
        _require(owner.run.address == address, "claims are for the owner's address", owner.run.id)
        _require(owner.run.state in _AT_WORK, "owners of claims are at work", owner.run.id)
        for seat in claim.waiters:
            is_waiting = seat.run.state is NodeState.JOINING or not seat.job.is_advancing
            _require(is_waiting, "who waits for a claim is joining", seat.run.id)
    for seats in desk.loads.values():
        for seat in seats:
            is_waiting = seat.run.state is NodeState.LOADING or not seat.job.is_advancing
            _require(is_waiting, "who waits for the disk is loading", seat.run.id)


def _check_cache(desk: Desk, jobs: Collection[JobRun]) -> None:
    cache = desk.cache
    holders: Counter[tuple[Address, int]] = Counter()
    for job in jobs:
        for run in job.runs.values():
            if run.artifact is not None:
                holders[run.address, id(run.artifact)] += 1
    total_bytes = evictable_bytes = 0
    for address, artifact, pins in cache.entries():
        total_bytes += artifact.size_bytes
        evictable_bytes += 0 if pins else artifact.size_bytes
        _require(pins == holders[address, id(artifact)], "pins count holders", address)
    _require(total_bytes == cache.total_bytes, "bytes are counted")
    _require(total_bytes <= cache.max_bytes or evictable_bytes == 0, "only pinned values exceed the budget")
    _require(cache.disk.total_bytes <= cache.disk.max_bytes, "the disk budget holds")
    _require(bool(jobs) or not desk.claims, "without jobs nothing is claimed")


def _require(holds: bool, invariant: str, *where: object) -> None:
    if not holds:
        raise AssertionError(f"{invariant}: broken at {', '.join(map(str, where)) or 'the executor'}")
