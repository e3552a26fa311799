"""A real worker process driven frame by frame, in the place of the server."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.core.settings import Settings, settings_to_json
from engine.protocol.codec import TO_SERVER, FrameReader, FrameWriter
from engine.protocol.messages import (
    CatalogPublished,
    JobDone,
    Lease,
    Message,
    OutputsPlaced,
    OutputsStaged,
    PlacedFile,
    Start,
    WorkerReady,
)
from tests.bundled_reports import single

__all__ = ["ROOT", "WorkerDriver"]

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240.0


class WorkerDriver:
    """Starts `python -m engine.worker.main`, reads what it sends on a thread, and places the files it stages."""

    def __init__(self, settings: Settings, *, known_catalog: str = "", is_started: bool = True) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=settings.folders.base,
            env=environment,
        )
        self.messages: list[Message] = []
        self.stderr = b""
        self._news: queue.Queue[Message | None] = queue.Queue()
        self._writer = FrameWriter(self.process.stdin)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_stderr)]
        for thread in self._threads:
            thread.start()
        if is_started:
            self.send(Start("w", settings_to_json(settings), known_catalog, "cpu"))

    def _read(self) -> None:
        reader = FrameReader(self.process.stdout, TO_SERVER)
        while (message := reader.read()) is not None:
            for part in single(message):
                self._news.put(part)
        self._news.put(None)

    def _read_stderr(self) -> None:
        while chunk := self.process.stderr.read1(1 << 16):
            self.stderr += chunk

    def send(self, message: Message) -> None:
        self._writer.write(message)

    def next(self, kind: type[Message], /, **fields: object) -> Message:
        """The next message of a kind (with these fields); everything before it goes to `messages`."""
        while True:
            message = self._news.get(timeout=TIMEOUT_S)
            if message is None:
                raise EOFError(f"the worker ended: {self.stderr.decode(errors='replace')[-3000:]}")
            self.messages.append(message)
            if isinstance(message, OutputsStaged):
                files = [PlacedFile(f"{f.prefix}.{f.extension}", "", f.folder) for f in message.files]
                self.send(OutputsPlaced(message.job, message.node, files))
            if isinstance(message, kind) and all(getattr(message, key) == value for key, value in fields.items()):
                return message

    def ready(self) -> WorkerReady:
        return self.next(WorkerReady)

    def catalogs(self) -> list[CatalogPublished]:
        return [message for message in self.messages if isinstance(message, CatalogPublished)]

    def lease(self, job: str, prompt: dict, targets: list[str] | None = None, epoch: int = 1) -> None:
        self.send(Lease(job, epoch, 1, prompt, targets or [list(prompt)[-1]]))

    def run(self, job: str, prompt: dict, targets: list[str] | None = None) -> JobDone:
        self.lease(job, prompt, targets)
        return self.next(JobDone, job=job)

    def until_printed(self, text: bytes) -> None:
        """Wait until this is part of what the worker has printed."""
        end = time.monotonic() + TIMEOUT_S
        while text not in self.stderr:
            assert time.monotonic() < end, self.stderr.decode(errors="replace")[-3000:]
            time.sleep(0.01)

    def wait(self) -> int:
        status = self.process.wait(TIMEOUT_S)
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                continue
