"""Which node call runs in this thread or task, for stand-in functions that are called without a context."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from engine.api import Context

__all__ = ["check_cancelled", "finish", "running", "running_in"]

T = TypeVar("T")
_RUNNING: ContextVar[Context | None] = ContextVar("running_node", default=None)


def running() -> Context | None:
    """The context of the node call in progress, or None outside one (and in threads a node started itself)."""
    return _RUNNING.get()


@contextmanager
def running_in(context: Context | None) -> Iterator[None]:
    """Make `context` the one `running` gives, for the duration of a call."""
    token = _RUNNING.set(context)
    try:
        yield
    finally:
        _RUNNING.reset(token)


def check_cancelled() -> None:
    """Raise Cancelled when the job of the running call is to stop; nothing outside a call."""
    context = _RUNNING.get()
    if context is not None:
        context.check_cancelled()


def finish(value: Any) -> Any:
    """`value`, or the result of `value` when it is awaitable (for hooks that may be async).

    The coroutine runs to its end on a fresh event loop; in its own thread when this one already runs a loop.
    """
    if not isinstance(value, Awaitable):
        return value

    async def outcome() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(outcome())
    return _in_thread(lambda: asyncio.run(outcome()))


def _in_thread(call: Callable[[], T]) -> T:
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread below
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
