"""One worker child process: started clean of secrets, spoken to in frames, watched until it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from engine.core.errors import ProtocolError
from engine.protocol.codec import TO_SERVER, encode, read_message
from engine.protocol.messages import Message

__all__ = ["WorkerProcess", "end_stale_workers", "exit_evidence", "worker_environment"]

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SIGNING|_PAT$|DATABASE_URL|COOKIE|"
    r"^(AWS|AZURE|GOOGLE|GCP|GCLOUD|SSH|GPG|VAULT|KUBE|DOCKER|GITHUB|GITLAB|CI)_",
    re.IGNORECASE,
)
_STREAM_LIMIT_BYTES = 1 << 20
_MAX_LOG_LINE_BYTES = 64 << 10
_ROOT = Path(__file__).resolve().parents[2]
_KERNEL_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "64"}
"""How many compiled kernels oneDNN keeps, and how many matrix products torch keeps ready.

Each size of picture and of batch needs some of its own, a kernel 60 KiB and a product 600 KiB. The libraries' own
bounds are 1024, which lets a worker that meets many sizes grow for hours, by 700 MiB.
"""


def worker_environment(environment: Mapping[str, str], data: Path | None = None) -> dict[str, str]:
    """The environment of a worker: the server's without anything that looks like a secret.

    What torch compiles is kept in the data folder, if one is given: the folder for temporary files is emptied.
    """
    clean = {name: value for name, value in environment.items() if not _SECRET_NAME.search(name)}
    paths = [str(_ROOT), *filter(None, clean.get("PYTHONPATH", "").split(os.pathsep))]
    clean["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    clean["PYTHONUNBUFFERED"] = "1"
    if sys.platform == "linux" and "PYTORCH_CUDA_ALLOC_CONF" not in clean:
        # Pictures of changing sizes leave gaps that nothing fits into, unless segments can grow.
        clean.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    # Large tensors of the host in large pages: else clearing them page by page takes as long as computing on them.
    clean.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if data is not None:
        clean.setdefault("TORCHINDUCTOR_CACHE_DIR", str(data / "compiled"))
    return {**_KERNEL_CACHES, **clean}


def exit_evidence(returncode: int | None) -> dict[str, Any]:
    """How a process ended, as JSON: {signal} or {exit_code}."""
    if returncode is None:
        return {"exit_code": None}
    if returncode < 0:
        try:
            return {"signal": signal.Signals(-returncode).name}
        except ValueError:
            return {"signal": str(-returncode)}
    return {"exit_code": returncode}


class WorkerProcess:
    """A started child. `serve` returns when it has ended; `send`, `kill` may be called meanwhile."""

    def __init__(self, process: asyncio.subprocess.Process, record: Path, log: logging.Logger) -> None:
        self._process = process
        self._record = record
        self._log = log
        self.kill_reason = ""
        self.ram_bytes = 0
        self.own_bytes = 0

    @classmethod
    async def start(cls, command: Sequence[str], name: str, data: Path, log: logging.Logger) -> WorkerProcess:
        """Start `command` with pipes, and leave a note of its process id for the next server in case this one dies.

        Raises OSError when either fails; nothing runs then.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_STREAM_LIMIT_BYTES,
            env=worker_environment(os.environ, data),
            start_new_session=os.name != "nt",  # Ctrl-C at the terminal is the server's business
        )
        record = data / "workers" / f"{process.pid}.pid"
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(str(_create_time(process.pid)))
        except OSError:
            _kill_tree(process.pid)
            await process.wait()
            record.unlink(missing_ok=True)
            raise
        return cls(process, record, log)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def send(self, message: Message) -> bool:
        """Queue a frame for the child; False when it has ended."""
        stream = self._process.stdin
        if self._process.returncode is not None or stream is None or stream.is_closing():
            return False
        stream.write(encode(message))
        return True

    async def serve(self, receive: Callable[[Message], Awaitable[None]]) -> dict[str, Any]:
        """Pass every message to `receive` until the child ends; the evidence of its end."""
        stderr = asyncio.ensure_future(self._copy_stderr())
        problem = ""
        try:
            assert self._process.stdout is not None
            while (message := await read_message(self._process.stdout, TO_SERVER)) is not None:
                await receive(message)
        except ProtocolError as error:
            if self._process.returncode is None and not self.kill_reason:
                problem = error.message
            self.kill("bad_frame")
        except Exception:  # noqa: BLE001 - whatever it was, the worker is replaced and its jobs go on
            self._log.exception("A message of the worker could not be used; the worker is ended.")
            self.kill("bad_message")
        finally:
            # The child closed its end or broke the protocol: nothing it could still do would be heard.
            code = await self._reap()
            stderr.cancel()
            self._record.unlink(missing_ok=True)
        evidence = {**exit_evidence(code), "ram_bytes": self.ram_bytes}
        if self.kill_reason:
            evidence["killed_for"] = self.kill_reason
        if problem:
            evidence["bad_frame"] = problem
        return evidence

    async def _reap(self) -> int | None:
        try:
            return await asyncio.wait_for(self._process.wait(), 2.0)
        except asyncio.TimeoutError:
            self.kill(self.kill_reason or "closed_its_output")
            return await self._process.wait()

    def kill(self, reason: str) -> None:
        """End the child and what it started, at once."""
        if self._process.returncode is not None:
            return
        self.kill_reason = self.kill_reason or reason
        _kill_tree(self._process.pid)

    def close_input(self) -> None:
        """Tell the child that nothing more will come; it exits."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self) -> None:
        """Return when the child has ended."""
        await self._process.wait()

    def sample_memory(self) -> None:
        """Note the child's resident memory, and what of it is no page of a file; works while its interpreter is held.

        Mapped weight files are resident as long as nobody else wants the room; only what is its own can leak.
        """
        try:
            found = psutil.Process(self._process.pid).memory_info()
            self.ram_bytes = found.rss
            self.own_bytes = found.rss - getattr(found, "shared", 0)
        except psutil.Error:
            pass  # it has just ended; the last sample is the evidence

    async def _copy_stderr(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        pending = b""
        while chunk := await stream.read(_MAX_LOG_LINE_BYTES):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._log.info("%s", line.decode("utf-8", "replace").rstrip("\r"))
            if len(pending) > _MAX_LOG_LINE_BYTES:
                self._log.info("%s", pending.decode("utf-8", "replace"))
                pending = b""
        if pending:
            self._log.info("%s", pending.decode("utf-8", "replace"))


def end_stale_workers(data: Path) -> int:
    """Kill workers that a killed server left behind (they cannot report to anybody); their number."""
    ended = 0
    for record in (data / "workers").glob("*.pid"):
        try:
            pid, created_s = int(record.stem), float(record.read_text())
        except ValueError:
            record.unlink(missing_ok=True)
            continue
        if _create_time(pid) == created_s:  # the same process, not a later one with its number
            _kill_tree(pid)
            ended += 1
        record.unlink(missing_ok=True)
    return ended


def _create_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return -1.0


def _kill_tree(pid: int) -> None:
    try:
        if sys.platform == "win32":
            psutil.Process(pid).kill()
        else:
            os.killpg(pid, signal.SIGKILL)  # the child leads its own session
    except (ProcessLookupError, PermissionError, psutil.Error):
        pass  # it ended by itself meanwhile
