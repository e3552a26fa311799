"""Which worker takes which job: a pure decision over what waits and what the workers hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MAX_JOBS_PER_WORKER", "WaitingJob", "WorkerLoad", "assign"]

MAX_JOBS_PER_WORKER = 4
"""Jobs a worker holds at once, so that their forwards can merge and one writes files while another samples."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A queued job. `needs_empty_worker`: nothing else may run beside it."""

    job: str
    needs_empty_worker: bool = False


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A worker that accepts jobs. `is_exclusive`: it holds a job that must stay alone."""

    worker: str
    num_held: int
    max_held: int = MAX_JOBS_PER_WORKER
    is_exclusive: bool = False


def assign(waiting: Sequence[WaitingJob], loads: Sequence[WorkerLoad]) -> list[tuple[str, str]]:
    """Pairs (job, worker), in the order of `waiting`; nobody is overtaken on a worker.

    The least loaded worker takes the next job. A job that needs an empty worker reserves the least loaded one until
    it is empty, so a stream of small jobs cannot starve it.
    """
    held = {load.worker: load.num_held for load in loads if not load.is_exclusive}
    limits = {load.worker: load.max_held for load in loads}
    pairs: list[tuple[str, str]] = []
    for entry in waiting:
        if not held:
            break
        worker = min(held, key=held.__getitem__)
        if entry.needs_empty_worker:
            if held.pop(worker) == 0:
                pairs.append((entry.job, worker))
            continue
        if held[worker] >= limits[worker]:
            break
        held[worker] += 1
        pairs.append((entry.job, worker))
    return pairs
