"""The thread that listens to the server: answers pings at any time, keeps everything else for the loop."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from engine.core.errors import ProtocolError
from engine.protocol.codec import TO_WORKER, FrameReader, FrameWriter
from engine.protocol.messages import Message, Ping, Pong

__all__ = ["EXIT_BAD_FRAME", "Inbox", "Outbox"]

EXIT_BAD_FRAME = 71
_EXIT_SERVER_GONE = 0


class Outbox:
    """Sends messages to the server from any thread. A server that is gone ends the process."""

    def __init__(self, stream: BinaryIO) -> None:
        self._writer = FrameWriter(stream)

    def send(self, message: Message) -> None:
        """Send a message. Raises ProtocolError for one that cannot travel."""
        try:
            self._writer.write(message)
        except OSError:
            os._exit(_EXIT_SERVER_GONE)


class Inbox:
    """Reads frames on a thread of its own from `start` on.

    Messages wait until `deliver_to` names a receiver. End of input ends the process: whatever still runs has nobody to
    report to; only what is on its way to disk is waited for.
    """

    def __init__(self, reader: FrameReader, send: Callable[[Message], None]) -> None:
        self._reader = reader
        self._send = send
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._receive: Callable[[Message], None] = self._waiting.put
        self._answer: Callable[[int], Pong] = _early_pong
        self._finish: Callable[[], None] = _nothing_begun

    @classmethod
    def open(cls, stream: BinaryIO, send: Callable[[Message], None]) -> Inbox:
        """An inbox over a stream of frames for workers."""
        return cls(FrameReader(stream, TO_WORKER), send)

    def read_first(self) -> Message | None:
        """The first message, before `start`. Raises ProtocolError."""
        return self._reader.read()

    def start(self) -> None:
        """Listen from now on."""
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def deliver_to(
        self, receive: Callable[[Message], None], answer: Callable[[int], Pong], finish: Callable[[], None]
    ) -> None:
        """Hand over what has come so far and everything to come.

        `answer` makes the answers to pings; `finish` is called at the end of input, before the process ends.
        """
        with self._lock:
            while not self._waiting.empty():
                receive(self._waiting.get())
            self._receive, self._answer, self._finish = receive, answer, finish

    def _listen(self) -> None:
        try:
            while (message := self._reader.read()) is not None:
                with self._lock:
                    receive, answer = self._receive, self._answer
                    if not isinstance(message, Ping):
                        receive(message)
                        continue
                self._send(answer(message.number))
        except ProtocolError as error:
            sys.stderr.write(f"The server broke the protocol: {error.message}\n")
            sys.stderr.flush()
            os._exit(EXIT_BAD_FRAME)
        with self._lock:
            finish = self._finish
        finish()
        os._exit(_EXIT_SERVER_GONE)


def _early_pong(number: int) -> Pong:
    """While packs load nothing is known about memory yet."""
    return Pong(number, 0, 0, 0, [])


def _nothing_begun() -> None:
    """Before the worker is assembled nothing can be half done."""
