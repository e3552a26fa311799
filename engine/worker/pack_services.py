"""What packs offer besides nodes: routes and changes of submitted documents, as the worker hands calls on to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.protocol.messages import CallPack, Message, PackReply, PackReport

__all__ = ["NoPackServices", "PackServices"]


class PackServices(Protocol):
    """The compatibility layer's side of CallPack."""

    def announce(self, reports: Sequence[PackReport]) -> list[PackReport]:
        """The reports of the loaded packs, with what each of them offers."""
        ...

    def answer(self, call: CallPack, send: Callable[[Message], None]) -> None:
        """Begin to answer a call and return at once; exactly one PackReply is sent, from any thread."""
        ...


class NoPackServices:
    """For a worker without packs that could offer anything."""

    def announce(self, reports: Sequence[PackReport]) -> list[PackReport]:
        """The reports as they are."""
        return list(reports)

    def answer(self, call: CallPack, send: Callable[[Message], None]) -> None:
        """404: nothing is there."""
        send(PackReply(call.request, {"status": 404, "headers": []}, b""))
