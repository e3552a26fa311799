"""A worker that paints flat pictures without torch: the real protocol, node types as the reference server has them.

`SaveImage` writes one picture whose colour is the digest of what came before it; everything else passes at once. A
`KSampler` reports its steps with an unfinished picture each; one of `FAILING_STEPS` raises an error with markup in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import threading
import zlib
from typing import Any

from engine.core.settings import settings_from_json
from engine.graph.schema import InputSpec, NodeSpec, OutputSpec, spec_to_json
from engine.protocol.codec import TO_WORKER, FrameReader, FrameWriter
from engine.protocol.messages import (
    CatalogPublished,
    Lease,
    OutputsStaged,
    PackReport,
    Preview,
    StagedFile,
    Start,
    WorkerReady,
)
from tests.processes.fake_worker import FakeWorker
from tests.reference_catalog import reference_rows, spec_of_row

__all__ = ["FAILING_STEPS", "HOSTILE_TEXT", "TYPES"]

TYPES = (
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "EmptyLatentImage",
    "KSampler",
    "VAEDecode",
    "SaveImage",
    "LoadImage",
)
FAILING_STEPS = 13
HOSTILE_TEXT = "<img src=x onerror=\"localStorage.ran='error'\"><script>localStorage.ran='error'</script>"
_SIZE = 96
_STEP_S = 0.05


def _picture(seed: bytes, texts: dict[str, str]) -> bytes:
    """A PNG of two colours with metadata."""
    one, two = seed[:3], seed[3:6]
    rows = b"".join(b"\0" + b"".join(one if (x + y) % 48 < 24 else two for x in range(_SIZE)) for y in range(_SIZE))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", _SIZE, _SIZE, 8, 2, 0, 0, 0)
    words = b"".join(chunk(b"tEXt", f"{key}\0{value}".encode("latin-1", "replace")) for key, value in texts.items())
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + words + data + chunk(b"IEND", b"")


class PaintingWorker(FakeWorker):
    """Runs the node types a first workflow is made of."""

    def _call(self, lease: Lease, node: str, cancelled: threading.Event) -> dict[str, Any] | None:
        record = lease.prompt[node]
        if record["class_type"] == "KSampler":
            self._sample(lease, node, record["inputs"], cancelled)
        return self._save(lease, node, cancelled) if record["class_type"] == "SaveImage" else None

    def _sample(self, lease: Lease, node: str, inputs: dict[str, Any], cancelled: threading.Event) -> None:
        if inputs["steps"] == FAILING_STEPS:
            raise RuntimeError(HOSTILE_TEXT, node)
        for step in range(inputs["steps"]):
            if cancelled.wait(_STEP_S):
                raise InterruptedError
            place = {"node": node, "display": node, "parent": None, "real": node}
            self._report(lease, "node_progress", {**place, "value": step + 1, "max": inputs["steps"]})
            if lease.preview_method != "none":
                picture = _picture(hashlib.sha256(bytes([step % 256])).digest(), {})
                self._writer.write(Preview(lease.job, lease.epoch, node, node, None, node, "image/png", picture))

    def _save(self, lease: Lease, node: str, cancelled: threading.Event) -> dict[str, Any]:
        prompt = json.dumps(lease.prompt, sort_keys=True)
        data = _picture(hashlib.sha256(prompt.encode()).digest(), {"prompt": prompt, "parameters": HOSTILE_TEXT})
        staged = f"{hashlib.sha256(data).hexdigest()}.{lease.job}-{lease.epoch}-{node}-0.png"
        part = self._staging / f"{staged}.part"
        part.write_bytes(data)
        part.rename(self._staging / staged)
        prefix = str(lease.prompt[node]["inputs"]["filename_prefix"])
        files = [StagedFile(staged, len(data), "image/png", "output", prefix, "png", 0)]
        self._writer.write(OutputsStaged(lease.job, lease.epoch, node, files))
        with self._has_placed:
            self._has_placed.wait_for(lambda: (lease.job, node) in self._placed or cancelled.is_set())
            if cancelled.is_set():
                raise InterruptedError
            placed = self._placed.pop((lease.job, node))
        return {"images": [{"filename": f.filename, "subfolder": f.subfolder, "type": f.type} for f in placed]}


def _specs() -> list[NodeSpec]:
    levels = InputSpec("sigmas", "STRING", options={"default": "1, 0.5, 0"})
    curve = NodeSpec(name="ManualSigmas", inputs=(levels,), outputs=(OutputSpec("SIGMAS", "SIGMAS"),))
    return [*(spec_of_row(row) for row in reference_rows() if row["name"] in TYPES), curve]


def main() -> None:
    writer = FrameWriter(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    reader = FrameReader(os.fdopen(os.dup(0), "rb"), TO_WORKER)
    start = reader.read()
    assert isinstance(start, Start)
    records = [spec_to_json(spec) for spec in _specs()]
    packs = [PackReport("toys", "toys", list(TYPES), 0.0)]
    writer.write(CatalogPublished(hashlib.sha256(json.dumps(records).encode()).hexdigest(), records, packs))
    device = {"name": "toy", "type": "cpu", "index": None, "vram_total": 0, "vram_free": 0}
    writer.write(WorkerReady({**device, "torch_vram_total": 0, "torch_vram_free": 0}, {"python": sys.version}))
    settings_from_json(start.settings).folders.output.mkdir(parents=True, exist_ok=True)
    PaintingWorker(reader, writer, start).serve()


if __name__ == "__main__":
    main()
