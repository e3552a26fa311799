"""A worker without torch: speaks the real protocol over real pipes, runs toy nodes.

Node types: `Sleep` (seconds), `Hold` (never returns, deaf to cancel), `Spin` (holds the interpreter lock for seconds),
`Crash` (kills the process), `CrashOnce` (kills it unless its marker file exists), `Fail` (raises), `Write` (stages
`count` files under `prefix`), `Echo` (passes text on), `Expand` (many progress reports), `Preview` (sends a picture),
`Paint` (`steps` with progress and a picture each, `seconds` in all, then a file). All take an optional `after` link.
Names of reference node types as arguments put those into the catalog too; they do nothing. Outputs of finished jobs are
remembered by content, so an equal job of Echo, Show and Paint is cached. A file `hurry` in the user folder ends the
naps of Sleep and Paint.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.core.settings import Settings, settings_from_json
from engine.graph.schema import InputSpec, NodeSpec, OutputSpec, spec_to_json
from engine.protocol.codec import TO_WORKER, FrameReader, FrameWriter
from engine.protocol.messages import (
    CancelJob,
    CatalogPublished,
    CheckPrompt,
    CheckReply,
    ForecastPrompt,
    ForecastReply,
    FreeMemory,
    JobDone,
    JobReport,
    Lease,
    OutputsPlaced,
    OutputsStaged,
    PackReport,
    Ping,
    Pong,
    Preview,
    RefreshCatalog,
    Shutdown,
    StagedFile,
    Start,
    WorkerReady,
)

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


_HELD_BYTES = 1_500_000_000
"""What every node says it held."""


def _picture(brightness: int, text: str = "") -> bytes:
    """A PNG of 64 x 64 pixels, brighter to the right; the text goes after its end."""
    row = b"\0" + bytes(brightness * x // 63 for x in range(64))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(row * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + end + text.encode()


def _spec(name: str, *inputs: InputSpec, is_output: bool = True, validates: tuple[str, ...] = ()) -> NodeSpec:
    after = InputSpec("after", "TEXT", "optional")
    return NodeSpec(
        name=name,
        title=name,
        category="toys",
        inputs=(*inputs, after),
        outputs=(OutputSpec("text", "TEXT"),),
        is_output_node=is_output,
        version="1",
        validates=validates,
    )


def specs() -> list[NodeSpec]:
    seconds = InputSpec("seconds", "FLOAT", options={"default": 0.0, "min": 0.0, "max": 3600.0})
    text = InputSpec("text", "STRING", options={"default": ""})
    return [
        _spec("Sleep", seconds),
        _spec("Hold"),
        _spec("Spin", seconds),
        _spec("Crash"),
        _spec("CrashOnce", InputSpec("marker", "STRING", options={"default": ""})),
        _spec("Fail", text),
        _spec("Hoard", InputSpec("megabytes", "INT", options={"default": 1, "min": 1, "max": 4096})),
        _spec(
            "Write",
            InputSpec("prefix", "STRING", options={"default": "toy"}),
            InputSpec("count", "INT", options={"default": 1, "min": 1, "max": 100}),
            InputSpec("text", "STRING", options={"default": ""}),
            InputSpec("extension", "STRING", "optional", options={"default": "png"}),
        ),
        _spec("Echo", text, is_output=False),
        _spec("Show", text),
        _spec("Progress", InputSpec("steps", "INT", options={"default": 10, "min": 1, "max": 100000})),
        _spec("Preview"),
        _spec(
            "Paint",
            InputSpec("text", "STRING", options={"default": ""}),
            InputSpec("steps", "INT", options={"default": 4, "min": 1, "max": 1000}),
            seconds,
        ),
        _spec("Picky", text, validates=("text",)),
    ]


def _shown_types(names: list[str]) -> list[NodeSpec]:
    """Node types of the reference, to be looked at."""
    if not names:
        return []
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.reference_catalog import reference_catalog

    return [reference_catalog()[name] for name in names]


class FakeWorker:
    """Runs each job on its own thread."""

    def __init__(self, reader: FrameReader, writer: FrameWriter, start: Start) -> None:
        self._reader = reader
        self._writer = writer
        self._settings: Settings = settings_from_json(start.settings)
        self._staging = self._settings.folders.data / "staging"
        self._jobs: dict[str, threading.Event] = {}
        self._placed: dict[tuple[str, str], list[Any]] = {}
        self._has_placed = threading.Condition()
        self._seen: set[str] = set()
        self._painted: dict[tuple[str, str], dict[str, Any]] = {}
        self._pool = ThreadPoolExecutor(8)

    def serve(self) -> None:
        while (message := self._reader.read()) is not None:
            if isinstance(message, Lease):
                self._jobs[message.job] = threading.Event()
                self._pool.submit(self._run, message, self._jobs[message.job])
            elif isinstance(message, CancelJob):
                if message.job in self._jobs:
                    self._jobs[message.job].set()
                    with self._has_placed:
                        self._has_placed.notify_all()
            elif isinstance(message, OutputsPlaced):
                with self._has_placed:
                    self._placed[message.job, message.node] = message.files
                    self._has_placed.notify_all()
            elif isinstance(message, Ping):
                self._writer.write(Pong(message.number, 1 << 20, 0, 0, list(self._jobs)))
            elif isinstance(message, CheckPrompt):
                self._writer.write(CheckReply(message.request, self._check(message)))
            elif isinstance(message, ForecastPrompt):
                self._writer.write(self._forecast(message))
            elif isinstance(message, Shutdown):
                while message.grace_s and self._jobs:
                    time.sleep(0.01)
                break
            elif isinstance(message, (FreeMemory, RefreshCatalog)):
                continue
        os._exit(0)  # the server is gone or said so: nothing is worth finishing

    def _check(self, message: CheckPrompt) -> list[dict[str, Any]]:
        complaints = []
        for node in message.nodes:
            text = message.prompt[node]["inputs"].get("text")
            if text.startswith("die once: ") and not Path(text[10:]).exists():
                Path(text[10:]).touch()
                os._exit(9)
            if text == "bad":
                complaints.append(
                    {"node": node, "code": "custom_validation_failed", "message": "Custom validation failed for node",
                     "details": "text - it is bad", "input": "text", "extra": {"input_name": "text"}}
                )  # fmt: skip
        return complaints

    def _forecast(self, message: ForecastPrompt) -> ForecastReply:
        needed = _needed(message.prompt, message.targets)
        if _signature(message.prompt, message.targets) in self._seen:
            return ForecastReply(message.request, needed, [])
        seconds = [message.prompt[node]["inputs"].get("seconds") for node in needed]
        runs = [
            {"node": node, "reason": {"reason": "first_run"}, "seconds": time} for node, time in zip(needed, seconds)
        ]
        return ForecastReply(message.request, [], runs)

    def _run(self, lease: Lease, cancelled: threading.Event) -> None:
        try:
            self._run_nodes(lease, cancelled)
        except InterruptedError:
            self._done(lease, "cancelled")
        except RuntimeError as error:
            node = str(error.args[1])
            self._done(lease, "failed", {"code": "node_failed", "message": error.args[0], "node": node})
        finally:
            self._jobs.pop(lease.job, None)

    def _done(self, lease: Lease, outcome: str, error: dict[str, Any] | None = None, **facts: Any) -> None:
        self._writer.write(JobDone(lease.job, lease.epoch, outcome, error, **facts))

    def _run_nodes(self, lease: Lease, cancelled: threading.Event) -> None:
        needed = _needed(lease.prompt, lease.targets)
        signature = _signature(lease.prompt, lease.targets)
        is_pure = all(lease.prompt[node]["class_type"] in ("Echo", "Show", "Paint") for node in needed)
        is_cached = is_pure and signature in self._seen
        self._report(lease, "nodes_cached", {"nodes": needed if is_cached else []})
        outputs: dict[str, Any] = {}
        for node in needed:
            place = {"node": node, "display": node, "parent": None, "real": node}
            if cancelled.is_set():
                raise InterruptedError
            if not is_cached:
                self._report(lease, "node_started", place)
                ui = self._call(lease, node, cancelled)
            else:
                ui = self._painted.get((signature, node)) or ({"text": ["cached"]} if node in lease.targets else None)
            if ui is not None:
                outputs[node] = ui
                if lease.prompt[node]["class_type"] == "Paint":
                    self._painted[signature, node] = ui
            if ui is not None or not is_cached:
                held = {} if is_cached else {"held_bytes": _HELD_BYTES}
                self._report(lease, "node_finished", {**place, "ui": ui, "cached": is_cached, **held})
        self._seen.add(signature)
        ran, cached = ([], needed) if is_cached else (needed, [])
        reasons = {node: {"reason": "never_run"} for node in ran}
        stats = {"node_seconds": {node: 0.0 for node in ran}, "node_bytes": {node: _HELD_BYTES for node in ran}}
        self._done(lease, "succeeded", ran=ran, cached=cached, reasons=reasons, outputs=outputs, stats=stats)

    def _report(self, lease: Lease, kind: str, data: dict[str, Any]) -> None:
        self._writer.write(JobReport(lease.job, lease.epoch, kind, data))

    def _call(self, lease: Lease, node: str, cancelled: threading.Event) -> dict[str, Any] | None:
        record = lease.prompt[node]
        call: Callable[..., dict[str, Any] | None] = getattr(
            self, f"_node_{record['class_type'].lower()}", self._node_echo
        )
        return call(lease, node, record["inputs"], cancelled)

    def _node_sleep(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        self._nap(inputs.get("seconds", 0.0), cancelled)

    def _nap(self, seconds: float, cancelled: threading.Event) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (self._settings.folders.user / "hurry").exists():
            if cancelled.wait(min(left, 0.05)):
                raise InterruptedError

    def _node_hold(self, *_: Any) -> None:
        while True:
            time.sleep(3600)

    def _node_spin(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        sys.setswitchinterval(1000.0)  # no other thread gets the interpreter
        end = time.monotonic() + inputs["seconds"]
        while time.monotonic() < end:
            pass
        sys.setswitchinterval(0.005)

    def _node_crash(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _node_crashonce(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        marker = Path(inputs["marker"])
        if not marker.exists():
            marker.write_text("crashed")
            os.kill(os.getpid(), signal.SIGKILL)

    def _node_fail(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        raise RuntimeError(inputs["text"] or "it failed", node)

    def _node_hoard(
        self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event
    ) -> dict[str, Any]:
        self._hoard = getattr(self, "_hoard", b"") + b"x" * (inputs["megabytes"] << 20)
        return {"text": [str(os.getpid())]}

    def _node_echo(self, *_: Any) -> None:
        return None

    def _node_show(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> dict[str, Any]:
        return {"text": [inputs.get("text", "")]}

    _node_picky = _node_show

    def _node_progress(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        for step in range(inputs["steps"]):
            data = {"node": node, "display": node, "parent": None, "real": node}
            self._report(lease, "node_progress", {**data, "value": step + 1, "max": inputs["steps"]})

    def _node_preview(self, lease: Lease, node: str, *_: Any) -> None:
        self._writer.write(Preview(lease.job, lease.epoch, node, node, None, node, "image/png", PNG))

    def _node_paint(
        self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event
    ) -> dict[str, Any]:
        place = {"node": node, "display": node, "parent": None, "real": node}
        steps = inputs["steps"]
        for step in range(steps):
            self._report(lease, "node_progress", {**place, "value": step + 1, "max": steps})
            if lease.preview_method != "none":
                picture = _picture(40 + 160 * step // steps)
                self._writer.write(Preview(lease.job, lease.epoch, node, node, None, node, "image/png", picture))
            self._nap(inputs["seconds"] / steps, cancelled)
        return self._stage(lease, node, [_picture(240, inputs["text"])], "painted", cancelled)

    def _node_write(
        self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event
    ) -> dict[str, Any]:
        pictures = [PNG + f"{inputs['text']}{ordinal}".encode() for ordinal in range(inputs["count"])]
        return self._stage(lease, node, pictures, inputs["prefix"], cancelled, inputs.get("extension", "png"))

    def _stage(
        self,
        lease: Lease,
        node: str,
        pictures: list[bytes],
        prefix: str,
        cancelled: threading.Event,
        extension: str = "png",
    ) -> dict[str, Any]:
        files = []
        for ordinal, data in enumerate(pictures):
            staged = f"{hashlib.sha256(data).hexdigest()}.{lease.job}-{lease.epoch}-{node}-{ordinal}.png"
            part = self._staging / f"{staged}.part"
            part.write_bytes(data)
            part.rename(self._staging / staged)
            files.append(StagedFile(staged, len(data), "image/png", "output", prefix, extension, ordinal))
        self._writer.write(OutputsStaged(lease.job, lease.epoch, node, files))
        with self._has_placed:
            self._has_placed.wait_for(lambda: (lease.job, node) in self._placed or cancelled.is_set())
            if cancelled.is_set():
                raise InterruptedError
            placed = self._placed.pop((lease.job, node))
        return {"images": [{"filename": f.filename, "subfolder": f.subfolder, "type": f.type} for f in placed]}


def _signature(prompt: dict[str, Any], targets: list[str]) -> str:
    return hashlib.sha256(json.dumps([prompt, targets], sort_keys=True).encode()).hexdigest()


def _needed(prompt: dict[str, Any], targets: list[str]) -> list[str]:
    """Targets and what they depend on, sources first."""
    order: list[str] = []
    seen: set[str] = set()
    waiting = [(target, False) for target in reversed(targets)]
    while waiting:
        node, is_done = waiting.pop()
        if is_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            links = [value for value in prompt[node]["inputs"].values() if isinstance(value, list)]
            waiting += [(link[0], False) for link in links]
    return order


def main() -> None:
    writer = FrameWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    reader = FrameReader(os.fdopen(os.dup(0), "rb"), TO_WORKER)
    start = reader.read()
    assert isinstance(start, Start)
    known_types = [*specs(), *_shown_types(sys.argv[1:])]
    records = [spec_to_json(spec) for spec in known_types]
    digest = hashlib.sha256(json.dumps(records).encode()).hexdigest()
    packs = [PackReport("toys", "toys", [spec.name for spec in known_types], 0.0)]
    known = start.known_catalog == digest
    writer.write(CatalogPublished(digest, [] if known else records, packs))
    device = {"name": "toy", "type": "cpu", "index": None, "vram_total": 0, "vram_free": 0}
    writer.write(WorkerReady({**device, "torch_vram_total": 0, "torch_vram_free": 0}, {"python": sys.version}))
    print(f"worker {start.worker} is up", file=sys.stderr, flush=True)
    FakeWorker(reader, writer, start).serve()


if __name__ == "__main__":
    main()
