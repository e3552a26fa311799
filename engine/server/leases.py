"""The life of a job as transactions: claimed, started, reported on, ended, lost, handed back, recovered.

Every claim raises the job's epoch; whatever arrives under an older epoch, or for a job that nobody holds, is refused.
Attempts are counted with the claim, before any work starts. Only a worker that died while it ran the job counts as a
crash; a server that died counts apart, with a higher limit; draining and cancelling count as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.core.errors import ConflictError
from engine.protocol.messages import JobDone
from engine.server.change import Change, JobHead, dump
from engine.server.dispatcher import WaitingJob
from engine.server.records import (
    ACTIVE_STATES,
    CANCELLED,
    FAILED,
    LEASED,
    QUARANTINED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TERMINAL_STATES,
)
from engine.server.tables import JOBS

__all__ = [
    "MAX_CRASHES",
    "MAX_SERVER_LOSSES",
    "TERMINAL_KINDS",
    "Grant",
    "claim",
    "finish",
    "hand_back",
    "held",
    "lose",
    "put_before",
    "recover",
    "request_cancel",
    "requeue",
    "start",
    "waiting",
]

MAX_CRASHES = 3
MAX_SERVER_LOSSES = 10
_SUSPECT_SERVER_LOSSES = 3
TERMINAL_KINDS = frozenset(f"job_{state}" for state in TERMINAL_STATES)
_OUTCOMES = {"succeeded": SUCCEEDED, "failed": FAILED, "cancelled": CANCELLED}


@dataclass(frozen=True, slots=True)
class Grant:
    """A claimed job, ready to be sent to `worker`."""

    job: str
    worker: str
    epoch: int
    attempt: int
    prompt: Mapping[str, Any]
    targets: Sequence[str]
    extra: Mapping[str, Any]
    client_id: str | None
    alone: bool
    is_exclusive: bool
    priority: int


def claim(
    change: Change, decide: Callable[[Sequence[WaitingJob]], Sequence[tuple[str, str]]], num_free: int
) -> list[Grant]:
    """Lease the jobs that `decide` picks among the next ones in the queue."""
    heads = {head.id: head for head in change.heads(JOBS.c.state == QUEUED, limit=num_free + 1)}
    pairs = decide([WaitingJob(head.id, _must_be_alone(head)) for head in heads.values()])
    if not pairs:
        return []
    columns = (JOBS.c.id, JOBS.c.prompt, JOBS.c.extra, JOBS.c.targets)
    rows = change.connection.execute(sa.select(*columns).where(JOBS.c.id.in_([job for job, _ in pairs])))
    documents = {row.id: row for row in rows}
    grants = []
    for job, worker in pairs:
        head, row = heads[job], documents[job]
        change.move(head, LEASED, epoch=head.epoch + 1, attempts=head.attempts + 1, worker=worker)
        change.append(head, "job_leased", {"worker": worker, "attempt": head.attempts, "epoch": head.epoch})
        grants.append(
            Grant(
                job=job,
                worker=worker,
                epoch=head.epoch,
                attempt=head.attempts,
                prompt=json.loads(row.prompt),
                targets=json.loads(row.targets),
                extra=json.loads(row.extra),
                client_id=head.client_id,
                alone=head.alone,
                is_exclusive=_must_be_alone(head),
                priority=head.priority,
            )
        )
    return grants


def _must_be_alone(head: JobHead) -> bool:
    """Whether the job asked for it, or is under suspicion of having killed what it ran on."""
    return bool(head.alone or head.server_losses >= _SUSPECT_SERVER_LOSSES or head.values["crashes"] != "[]")


def held(change: Change, job: str, epoch: int) -> JobHead | None:
    """The head of a job that is held under exactly this epoch; None means the sender's lease is over."""
    head = change.find(job)
    if head is None or head.state not in ACTIVE_STATES or head.epoch != epoch:
        return None
    return head


def start(change: Change, head: JobHead) -> None:
    """Note the first sign of work on a leased job."""
    if head.state == LEASED:
        change.move(head, RUNNING, started_s=change.now_s)
        change.append(head, "job_started", {"attempt": head.attempts})


def finish(change: Change, head: JobHead, done: JobDone, nodes: Mapping[str, Any]) -> None:
    """End a held job as its worker reports. `nodes` says how nodes with output are shown."""
    start(change, head)
    state = _OUTCOMES.get(done.outcome, FAILED)
    result = {
        "outputs": done.outputs,
        "nodes": {node: place for node, place in nodes.items() if node in done.outputs},
        "ran": done.ran,
        "cached": done.cached,
        "reasons": done.reasons,
        "stats": done.stats,
    }
    data: dict[str, Any] = {"ran": len(done.ran), "cached": len(done.cached)}
    if done.error is not None:
        data["error"] = done.error
    _end(change, head, state, data, error=done.error, result=dump(result))


def _end(
    change: Change, head: JobHead, state: str, data: Mapping[str, Any], *, error: Any = None, **values: Any
) -> None:
    text = None if error is None else dump(error)
    change.move(head, state, finished_s=change.now_s, error=text, worker=None, **values)
    change.append(head, f"job_{state}", data)


def lose(change: Change, job: str, epoch: int, evidence: Mapping[str, Any], *, is_crash: bool) -> str | None:
    """Take a job back from a worker that ended; the state it has now, or None when the lease was over already.

    `is_crash` False: somebody else's doing (a forced cancel of a job beside it). A job that was asked to cancel ends
    as cancelled. One that never started gets its attempt back.
    """
    head = held(change, job, epoch)
    if head is None:
        return None
    if head.cancel_requested:
        _end(change, head, CANCELLED, {"forced": True})
        return CANCELLED
    has_started = head.state == RUNNING
    if not is_crash or not has_started:
        _queue_again(change, head, "worker_stopped", {}, gives_attempt_back=not has_started or not is_crash)
        return QUEUED
    crashes = [*head.crash_records, {**evidence, "attempt": head.attempts, "time_s": change.now_s}]
    head.set(crashes=dump(crashes))
    if len(crashes) >= MAX_CRASHES:
        _quarantine(change, head, f"The worker process ended {len(crashes)} times while it ran this job.", crashes)
        return QUARANTINED
    _queue_again(change, head, "worker_lost", evidence)
    return QUEUED


def _quarantine(change: Change, head: JobHead, sentence: str, crashes: Sequence[Mapping[str, Any]]) -> None:
    error = {
        "code": "quarantined",
        "message": sentence,
        "hint": "Look at the evidence, then queue it again or delete it.",
        "details": {"crashes": list(crashes), "server_losses": head.server_losses},
    }
    _end(change, head, QUARANTINED, {"error": error}, error=error)


def _queue_again(
    change: Change, head: JobHead, reason: str, evidence: Mapping[str, Any], *, gives_attempt_back: bool = False
) -> None:
    attempts = head.attempts - 1 if gives_attempt_back else head.attempts
    change.move(head, QUEUED, attempts=attempts, worker=None, started_s=None)
    change.append(head, "job_requeued", {"reason": reason, **({"evidence": evidence} if evidence else {})})


def hand_back(change: Change, job: str, epoch: int, reason: str) -> bool:
    """Return a held job to the queue without a mark (draining); False when the lease was over."""
    head = held(change, job, epoch)
    if head is None:
        return False
    if head.cancel_requested:
        _end(change, head, CANCELLED, {"forced": True})
    else:
        _queue_again(change, head, reason, {}, gives_attempt_back=True)
    return True


def recover(change: Change) -> int:
    """After a start nobody holds anything: held jobs wait again, or end if that was asked. Their number."""
    heads = change.heads(JOBS.c.state.in_(ACTIVE_STATES))
    for head in heads:
        if head.cancel_requested:
            _end(change, head, CANCELLED, {"forced": True})
        elif head.state == LEASED:
            _queue_again(change, head, "server_restarted", {}, gives_attempt_back=True)
        else:
            head.set(server_losses=head.server_losses + 1)
            if head.server_losses >= MAX_SERVER_LOSSES:
                _quarantine(change, head, "The server ended ten times while this job ran.", head.crash_records)
            else:
                _queue_again(change, head, "server_restarted", {})
    return len(heads)


def request_cancel(change: Change, job: str, *, queued_only: bool = False) -> JobHead:
    """Cancel a waiting job at once, or mark a held one; ended jobs stay as they are. Raises NotFoundError."""
    head = change.head(job)
    if head.state == QUEUED:
        head.set(cancel_requested=True)
        _end(change, head, CANCELLED, {})
    elif head.state in ACTIVE_STATES and not queued_only and not head.cancel_requested:
        head.set(cancel_requested=True)
    return head


def requeue(change: Change, job: str) -> None:
    """Queue an ended job again with a clean slate. Raises NotFoundError and ConflictError."""
    head = change.head(job)
    if head.state not in TERMINAL_STATES:
        raise ConflictError(f"Job {job!r} has not ended.", code="not_ended", hint="Cancel it first.")
    head.set(crashes="[]", server_losses=0, cancel_requested=False, error=None, result=None, finished_s=None)
    change.move(head, QUEUED, attempts=0, started_s=None)
    change.append(head, "job_requeued", {"reason": "asked"})


def waiting(change: Change, job: str) -> JobHead:
    """The head of a job that waits. Raises NotFoundError and ConflictError."""
    head = change.head(job)
    if head.state != QUEUED:
        raise ConflictError(f"Job {job!r} waits no more.", code="not_waiting")
    return head


def put_before(change: Change, head: JobHead, other: JobHead, lowest: float) -> None:
    """Put a waiting job directly before another one, halfway from the one that was there, with its priority.

    `lowest` is a number before those of the jobs that came so far. Where no number is left between two jobs, those
    before are numbered anew.
    """
    beside = change.heads((JOBS.c.state == QUEUED) & (JOBS.c.priority == other.priority))
    order = [one for one in beside if one.id != head.id]
    lowest = min(lowest, order[0].number - 1)
    earlier = order[: next(place for place, one in enumerate(order) if one.id == other.id)]
    number = (earlier[-1].number + other.number) / 2 if earlier else lowest
    if earlier and not earlier[-1].number < number < other.number:
        step = (other.number - lowest) / (len(earlier) + 2)
        for place, one in enumerate(earlier, 1):
            one.set(number=lowest + place * step)
        number = other.number - step
    head.set(number=number, priority=other.priority)
