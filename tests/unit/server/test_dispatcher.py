"""Which worker takes which job."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.server.dispatcher import WaitingJob, WorkerLoad, assign


def waiting(*names: str) -> list[WaitingJob]:
    return [WaitingJob(name.strip("!"), name.endswith("!")) for name in names]


def test_the_least_loaded_worker_takes_the_next_job():
    assert assign(waiting("a", "b", "c"), [WorkerLoad("x", 2), WorkerLoad("y", 0)]) == [
        ("a", "y"), ("b", "y"), ("c", "x"),
    ]  # fmt: skip


def test_a_full_worker_takes_nothing():
    assert assign(waiting("a", "b", "c"), [WorkerLoad("x", 1, max_held=2)]) == [("a", "x")]


def test_a_lone_job_takes_an_empty_worker_and_nothing_joins_it():
    assert assign(waiting("a!", "b"), [WorkerLoad("x", 0)]) == [("a", "x")]
    assert assign(waiting("b"), [WorkerLoad("x", 1, is_exclusive=True)]) == []


def test_a_lone_job_keeps_the_next_worker_free_for_itself():
    assert assign(waiting("a!", "b", "c"), [WorkerLoad("x", 1), WorkerLoad("y", 2)]) == [("b", "y"), ("c", "y")]


@given(
    st.lists(st.booleans(), max_size=12),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.booleans()), max_size=4),
)
def test_no_worker_is_overfilled_and_lone_jobs_stay_alone(lone, loads):
    jobs = [WaitingJob(str(index), flag) for index, flag in enumerate(lone)]
    workers = [WorkerLoad(f"w{index}", *load) for index, load in enumerate(loads)]
    pairs = assign(jobs, workers)
    by_worker: dict[str, list[str]] = {}
    for job, worker in pairs:
        by_worker.setdefault(worker, []).append(job)
    for load in workers:
        taken = by_worker.get(load.worker, [])
        assert not (load.is_exclusive and taken)
        assert not taken or load.num_held + len(taken) <= max(load.max_held, 1)
        if any(jobs[int(job)].needs_empty_worker for job in taken):
            assert load.num_held == 0
            assert len(taken) == 1
