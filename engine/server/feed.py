"""Fan-out of events to listeners: bounded, never blocking the sender, resumable by event number.

A listener that falls behind is dropped (`has_lagged`); it reads what it missed from the store by its last number and
subscribes again. Progress is coalesced per listener: an unread progress entry of the same node is replaced.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from engine.core.errors import NotFoundError
from engine.core.ids import ClientId, JobId
from engine.server.records import EventRecord

__all__ = ["Feed", "FeedItem", "LogEntry", "PreviewPicture", "PreviewShelf", "Subscription"]

PROGRESS = "node_progress"
PREVIEW = "node_preview"
_MAX_SHELVED = 16
_MAX_ENDED = 2
_BEGINNINGS = frozenset(("job_queued", "job_leased", "job_started", "job_requeued"))


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """A picture of work in progress, for live listeners only. `media_type` is image/jpeg or image/png."""

    job: JobId
    client_id: ClientId | None
    node: str
    display: str
    parent: str | None
    real: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the server's or a worker's log."""

    time_s: float
    text: str


FeedItem = EventRecord | PreviewPicture | LogEntry


class Subscription:
    """One listener's bounded queue. Iterate it; the iteration ends when it is closed or dropped."""

    def __init__(self, accepts: Callable[[FeedItem], bool], max_items: int, on_close: Callable[[Subscription], None]):
        self._accepts = accepts
        self._max_items = max_items
        self._on_close = on_close
        self._items: OrderedDict[object, FeedItem] = OrderedDict()
        self._num_offered = 0
        self._wake = asyncio.Event()
        self.is_closed = False
        self.has_lagged = False

    def offer(self, item: FeedItem) -> None:
        """Queue `item` if the listener wants it; drop the listener when its queue is full."""
        if self.is_closed or not self._accepts(item):
            return
        self._num_offered += 1
        key: object = self._num_offered
        if isinstance(item, EventRecord) and item.kind in (PROGRESS, PREVIEW):
            key = (item.kind, item.job, item.data.get("node"))
        elif isinstance(item, PreviewPicture):
            key = ("preview", item.job, item.node)
        if key != self._num_offered:
            self._items.pop(key, None)
        if len(self._items) >= self._max_items:
            self.has_lagged = True
            self.close()
            return
        self._items[key] = item
        self._wake.set()

    @property
    def has_items(self) -> bool:
        """Whether something waits to be read."""
        return bool(self._items)

    async def get(self) -> FeedItem | None:
        """The next item, or None once the subscription is closed and drained."""
        while not self._items:
            if self.is_closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._items.popitem(last=False)[1]

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._wake.set()
            self._on_close(self)

    async def __aiter__(self) -> AsyncIterator[FeedItem]:
        while (item := await self.get()) is not None:
            yield item

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PreviewShelf:
    """The newest picture of each node of the running jobs, for whoever asks after the event that tells of it.

    The pictures of the last jobs to end stay until others end: somebody may just be asking.
    """

    def __init__(self) -> None:
        self._pictures: dict[JobId, OrderedDict[str, PreviewPicture]] = {}
        self._ended: deque[JobId] = deque()

    def note(self, item: FeedItem) -> None:
        """Keep a picture, the newest few of each job; a job that starts anew begins with an empty shelf."""
        if isinstance(item, PreviewPicture):
            shelf = self._pictures.setdefault(item.job, OrderedDict())
            shelf.pop(item.node, None)
            shelf[item.node] = item
            if len(shelf) > _MAX_SHELVED:
                shelf.popitem(last=False)
        elif isinstance(item, EventRecord) and item.kind in _BEGINNINGS:
            self._pictures.pop(item.job, None)
            if item.job in self._ended:
                self._ended.remove(item.job)
        elif isinstance(item, EventRecord) and item.kind.startswith("job_") and item.job in self._pictures:
            self._ended.append(item.job)
            if len(self._ended) > _MAX_ENDED:
                self._pictures.pop(self._ended.popleft(), None)

    def get(self, job: JobId, node: str) -> PreviewPicture:
        """The newest picture. Raises NotFoundError when the node has shown none, or its job ended a while ago."""
        picture = self._pictures.get(job, {}).get(node)
        if picture is None:
            raise NotFoundError(
                f"Node {node[:100]!r} of the job shows no picture now.", hint="Follow the job's events."
            )
        return picture


class Feed:
    """Sends every published item to every listener that wants it. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self.previews = PreviewShelf()
        self._subscriptions: list[Subscription] = []

    def subscribe(
        self,
        accepts: Callable[[FeedItem], bool] = lambda item: not isinstance(item, LogEntry),
        *,
        max_items: int = 4096,
    ) -> Subscription:
        """A new listener for items that `accepts` (default: everything but log lines)."""
        subscription = Subscription(accepts, max_items, self._forget)
        self._subscriptions.append(subscription)
        return subscription

    def publish(self, items: Iterable[FeedItem]) -> None:
        """Offer the items to all listeners, in order."""
        for item in items:
            self.previews.note(item)
            for subscription in tuple(self._subscriptions):
                subscription.offer(item)

    def close(self) -> None:
        """End every subscription (the server stops)."""
        for subscription in tuple(self._subscriptions):
            subscription.close()

    @property
    def num_subscriptions(self) -> int:
        """How many listeners there are."""
        return len(self._subscriptions)

    def _forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
