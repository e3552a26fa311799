"""Fan-out to listeners."""

from __future__ import annotations

import pytest

from engine.core.errors import NotFoundError
from engine.core.ids import JobId
from engine.server.feed import Feed, LogEntry, PreviewPicture, PreviewShelf
from engine.server.records import EventRecord


def event(seq: int, kind: str = "node_started", **data) -> EventRecord:
    return EventRecord(JobId("a"), seq, kind, data, 0.0)


async def test_a_listener_gets_what_it_accepts_in_order():
    feed = Feed()
    with feed.subscribe(lambda item: item.seq % 2 == 1) as live:
        feed.publish(event(seq) for seq in range(1, 6))
        assert [(await live.get()).seq for _ in range(3)] == [1, 3, 5]
        assert not live.has_items
    assert feed.num_subscriptions == 0


async def test_a_slow_listener_is_dropped_and_told_so():
    feed = Feed()
    slow, fast = feed.subscribe(max_items=3), feed.subscribe(max_items=10)
    feed.publish(event(seq) for seq in range(1, 6))
    assert slow.has_lagged
    assert [item.seq async for item in slow] == [1, 2, 3]
    assert [(await fast.get()).seq for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_unread_progress_of_a_node_is_replaced():
    feed = Feed()
    live = feed.subscribe(max_items=4)
    feed.publish(event(0, "node_progress", node="n", value=step) for step in range(1000))
    feed.publish([event(9)])
    assert [(await live.get()).data.get("value") for _ in range(2)] == [999, None]


async def test_log_lines_reach_only_listeners_that_want_them():
    feed = Feed()
    plain, wanting = feed.subscribe(), feed.subscribe(lambda item: isinstance(item, LogEntry))
    feed.publish([LogEntry(0.0, "x"), event(1)])
    assert (await plain.get()).seq == 1
    assert (await wanting.get()).text == "x"
    assert not plain.has_items
    assert not wanting.has_items
    feed.close()
    assert await plain.get() is None


def test_pictures_of_ended_jobs_stay_until_others_end_and_a_new_start_clears_them():
    shelf = PreviewShelf()
    for name in ("a", "b", "c"):
        shelf.note(PreviewPicture(JobId(name), None, "3", "3", None, "3", "image/png", name.encode()))
        shelf.note(EventRecord(JobId(name), 9, "job_succeeded", {}, 0.0))
    assert [shelf.get(JobId(name), "3").data for name in ("b", "c")] == [b"b", b"c"]
    shelf.note(EventRecord(JobId("c"), 10, "job_requeued", {}, 0.0))
    for name in ("a", "c"):
        with pytest.raises(NotFoundError):
            shelf.get(JobId(name), "3")
