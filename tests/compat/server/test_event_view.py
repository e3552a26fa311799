from __future__ import annotations

from typing import Any

from engine.compat.comfyui.server.event_view import JobView
from engine.core.ids import ClientId, JobId
from engine.server.records import EventRecord

PLACE = {"node": "1", "display": "1", "parent": None, "real": "1"}


def kinds(view: JobView, *events: tuple[str, dict[str, Any]], client: str | None = "c", job: str = "j") -> list[str]:
    found = []
    for number, (kind, data) in enumerate(events):
        record = EventRecord(JobId(job), number + 1, kind, data, 1.5, None if client is None else ClientId(client))
        found += [message.event for message in view.translate(record, {"node_id": "1"})]
    return found


def test_leasing_and_starting_are_one_status() -> None:
    view = JobView()
    assert (
        kinds(
            view,
            ("queue_changed", {"pending": 1, "running": 0}),
            ("queue_changed", {"pending": 0, "running": 1}),
            ("queue_changed", {"pending": 0, "running": 1}),
            ("queue_changed", {"pending": 0, "running": 0}),
        )
        == ["status"] * 3
    )


def test_a_job_cancelled_while_it_waits_sends_only_the_status() -> None:
    assert kinds(JobView(), ("job_queued", {}), ("job_cancelled", {})) == []


def test_a_job_that_is_run_again_after_a_crash_starts_again() -> None:
    view = JobView()
    assert kinds(
        view, ("job_started", {}), ("node_started", PLACE), ("job_requeued", {}), ("job_started", {}),
        ("nodes_cached", {"nodes": []}),
    ) == ["execution_start", "progress_state", "executing", "execution_start", "execution_cached"]  # fmt: skip
    watching = view.watching("j")
    assert watching is not None
    assert watching.nodes == {}


def test_the_end_of_a_run_comes_after_the_status_that_counts_it() -> None:
    view = JobView()
    kinds(view, ("queue_changed", {"pending": 0, "running": 1}))
    assert kinds(view, ("job_started", {}), ("job_succeeded", {}), ("queue_changed", {"pending": 0, "running": 0})) == [
        "execution_start",
        "execution_success",
        "status",
        "executing",
    ]


def test_a_quarantined_job_ends_with_an_error() -> None:
    assert kinds(JobView(), ("job_started", {}), ("job_quarantined", {})) == ["execution_start", "execution_error"]


def test_without_a_client_only_states_progress_and_interrupts_are_sent() -> None:
    assert kinds(
        JobView(), ("job_started", {}), ("nodes_cached", {"nodes": ["0"]}), ("node_started", PLACE),
        ("node_progress", {**PLACE, "value": 1, "max": 2}), ("node_finished", {**PLACE, "ui": {"text": ["x"]}}),
        ("job_cancelled", {}), client=None,
    ) == ["progress_state", "progress_state", "progress", "progress_state", "execution_interrupted"]  # fmt: skip


def test_events_of_a_job_nobody_saw_start_are_left_out() -> None:
    assert kinds(JobView(), ("node_started", PLACE), ("node_finished", PLACE), ("job_succeeded", {})) == []


def test_a_cached_target_without_ui_is_executed_with_null() -> None:
    view = JobView()
    kinds(view, ("job_started", {}))
    record = EventRecord(
        JobId("j"), 2, "node_finished", {**PLACE, "ui": None, "cached": True, "is_target": True}, 1.5, ClientId("c")
    )
    executed, state = view.translate(record)
    assert (executed.event, executed.data["output"]) == ("executed", None)
    assert state.data()["nodes"]["1"]["state"] == "finished"


def test_pack_events_go_to_whom_the_pack_named() -> None:
    record = EventRecord(JobId("j"), 0, "pack_event", {"event": "mine", "data": {"a": 1}}, 1.5, None)
    (message,) = JobView().translate(record)
    assert (message.event, message.data, message.client) == ("mine", {"a": 1}, None)
