"""A server under a mixed load for as long as it is told: no job is lost or made twice, memory and handles stay level.

Several models, sizes and batches, jobs that want a worker of their own, cancelled ones, and a worker that is killed now
and then in the beginning. What is measured is the longest life of each process, its first third left out: memory as the
slope of a straight line, handles and threads as the medians of what remains in two halves.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.served import Served, serving
from tests.tiny_sd1 import shallow_checkpoint

MIB = 1 << 20
NUM_WAITING = 6
MODELS = ("shallow.safetensors", "second.safetensors", "third.safetensors")
KILL_EVERY_S = 25.0
PATIENCE_S = 300.0
MAX_KILLING_S = 300.0
MAX_SLOPE_BYTES = 2_000_000
"""What a process may grow by in an hour, after it is warm."""
WARM_UP = 1 / 3
"""The part of a life that is not measured: caches fill, activation peaks are learned, the allocator finds its size."""
NUM_STRETCHES = 24
HOUR_S = 3600.0


def prompt(name: str, number: int, chance: random.Random) -> dict[str, Any]:
    """A picture of a model, a size, a sampler and a number of steps drawn by chance."""
    side = chance.choice((64, 64, 96, 128))
    text = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1]}}
    sampling = {"model": ["model", 0], "positive": ["text", 0], "negative": ["none", 0], "latent_image": ["empty", 0]}
    drawn = {"seed": number, "steps": chance.randint(1, 3), "cfg": 2.0, "denoise": 1.0, "scheduler": "normal"}
    return {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": chance.choice(MODELS)}},
        "text": {**text, "inputs": {**text["inputs"], "text": f"number {number}"}},
        "none": {**text, "inputs": {**text["inputs"], "text": ""}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": side, "height": 64, "batch_size": 1}},
        "sample": {
            "class_type": "KSampler",
            "inputs": {**sampling, **drawn, "sampler_name": chance.choice(("euler", "dpmpp_2m"))},
        },
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sample", 0], "vae": ["model", 2]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": f"{name}/picture"}},
    }


@dataclass(frozen=True)
class Usage:
    """What a process takes at a moment: memory of its own, and with the pages of files it has mapped."""

    pid: int
    at_s: float
    resident_bytes: int
    own_bytes: int
    num_descriptors: int
    num_threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> Usage:
        memory = process.memory_info()
        own = memory.rss - getattr(memory, "shared", 0)
        threads = process.num_threads()
        return cls(process.pid, time.monotonic(), memory.rss, own, process.num_fds(), threads)


@dataclass(frozen=True)
class Slope:
    """How a figure changes in an hour, and the standard error of that, by least squares over means of stretches."""

    per_hour: float
    error: float

    @classmethod
    def of(cls, times_s: Sequence[float], values: Sequence[float]) -> Slope:
        size = max(1, len(times_s) // NUM_STRETCHES)
        starts = range(0, len(times_s) - size + 1, size)
        x = [statistics.fmean(times_s[start : start + size]) / HOUR_S for start in starts]
        y = [statistics.fmean(values[start : start + size]) for start in starts]
        line = statistics.linear_regression(x, y)
        rests = [b - line.intercept - line.slope * a for a, b in zip(x, y, strict=True)]
        spread = sum((a - statistics.fmean(x)) ** 2 for a in x)
        return cls(line.slope, (sum(rest**2 for rest in rests) / (len(x) - 2) / spread) ** 0.5)


@dataclass
class Soak:
    """The load and what is seen of the server meanwhile."""

    served: Served
    chance: random.Random
    seconds: float
    began_s: float = field(default_factory=time.monotonic)
    submitted: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    num_kills: int = 0
    last_pid: int = 0
    ends: list[str] = field(default_factory=list)
    samples: dict[str, list[Usage]] = field(default_factory=lambda: {"server": [], "worker": []})

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.began_s

    def get(self, path: str) -> Any:
        status, body = self.served.call("GET", f"/api/v1{path}")
        assert status == 200, body
        return json.loads(body)

    def worker(self) -> psutil.Process | None:
        """The worker that takes jobs, if one is up."""
        with suppress(psutil.Error, StopIteration):
            return next(
                child for child in psutil.Process(self.served.process.pid).children() if child.num_threads() > 4
            )
        return None

    def submit(self) -> None:
        number = len(self.submitted)
        name = f"soak-{number:06}"
        body: dict[str, Any] = {"prompt": prompt(name, number, self.chance), "id": name}
        if self.chance.random() < 0.1:
            body["alone"] = True
        status, answer = self.served.call("POST", "/api/v1/jobs", body)
        assert status in (200, 201), answer
        self.submitted.append(name)
        self.waiting.append(name)

    def cancel_some(self) -> None:
        if self.waiting and self.chance.random() < 0.04:
            name = self.chance.choice(self.waiting)
            assert self.served.call("POST", f"/api/v1/jobs/{name}/cancel")[0] in (200, 202)
            self.cancelled.add(name)

    def kill_worker(self) -> None:
        process = self.worker()
        if process is not None:
            process.kill()
            self.num_kills += 1

    def look(self) -> None:
        self.samples["server"].append(Usage.of(psutil.Process(self.served.process.pid)))
        process = self.worker()
        if process is None:
            return
        with suppress(psutil.Error):
            self.samples["worker"].append(Usage.of(process))
        if process.pid != self.last_pid:
            self.last_pid = process.pid
            self.ends += [str(worker["last_end"]) for worker in self.get("/system/stats")["workers"]]

    def run(self) -> None:
        """Keep the queue filled until the time is over, then let it end."""
        next_kill_s, next_look_s = KILL_EVERY_S / 2, 0.0
        while self.age_s < self.seconds:
            while len(self.waiting) < NUM_WAITING:
                self.submit()
            self.cancel_some()
            if next_kill_s < self.age_s < min(self.seconds / 3, MAX_KILLING_S):
                self.kill_worker()
                next_kill_s = self.age_s + KILL_EVERY_S
            if self.age_s > next_look_s:
                self.look()
                next_look_s = self.age_s + 1.0
            self.waiting = [name for name in self.waiting if not is_over(self.get(f"/jobs/{name}"))]
            time.sleep(0.25)

    def records(self) -> list[dict[str, Any]]:
        """The records of all jobs when each has ended; what was quarantined by chance runs again."""
        found = []
        for name in self.submitted:
            record = self.get(f"/jobs/{name}/wait?seconds={PATIENCE_S:.0f}")
            if record["state"] == "quarantined":
                assert self.served.call("POST", f"/api/v1/jobs/{name}/requeue")[0] == 200
                record = self.get(f"/jobs/{name}/wait?seconds={PATIENCE_S:.0f}")
            found.append(record)
        return found

    def warm_life(self, who: str) -> list[Usage]:
        """The longest life among these processes, without its warm-up."""
        lives: dict[int, list[Usage]] = {}
        for usage in self.samples[who]:
            lives.setdefault(usage.pid, []).append(usage)
        life = max(lives.values(), key=len)
        return life[int(len(life) * WARM_UP) :]


def is_over(record: dict[str, Any]) -> bool:
    return record["state"] in ("succeeded", "failed", "cancelled", "quarantined")


def check_pictures(output: Path, records: Sequence[dict[str, Any]], cancelled: set[str]) -> None:
    """Each job has ended as it should, and has exactly the pictures it says it has."""
    for record in records:
        wanted = {"succeeded", "cancelled"} if record["id"] in cancelled else {"succeeded"}
        assert record["state"] in wanted, (record["id"], record["state"], record["error"])
    said = Counter(
        f"{image['subfolder']}/{image['filename']}"
        for record in records
        for node in record["outputs"].values()
        for image in node["images"]
    )
    on_disk = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png"))
    assert max(said.values()) == 1
    assert all(record["outputs"] for record in records if record["state"] == "succeeded")
    assert set(said) <= set(on_disk)
    left = {name.partition("/")[0] for name in on_disk if name not in said}
    # A job may be cancelled after a picture of it has got its name.
    assert left <= {record["id"] for record in records if record["state"] == "cancelled"}
    assert len(on_disk) == len({name.partition("/")[0] for name in on_disk})


@pytest.mark.thorough
@pytest.mark.timeout(0)
def test_a_server_under_load_loses_nothing_and_stays_as_large_as_it_is(
    tmp_path: Path, request: pytest.FixtureRequest, figures: Any
) -> None:
    seconds = request.config.getoption("--seconds", default=60.0)
    checkpoints = tmp_path / "models" / "checkpoints"
    checkpoints.mkdir(parents=True)
    first = shallow_checkpoint(checkpoints)
    for name in MODELS[1:]:
        shutil.copy(first, checkpoints / name)
    with serving(tmp_path, "--cpu", "--cache-lru", "20") as served:
        served.until("/api/v1/system/ready")
        soak = Soak(served, random.Random(7), seconds)
        soak.run()
        records = soak.records()
    check_pictures(tmp_path / "output", records, soak.cancelled)
    print(*soak.ends, sep="\n")  # why each worker needed a successor
    states = Counter(record["state"] for record in records)
    attempts = sum(record["attempts"] for record in records)
    figures.add("soak", f"jobs in {seconds:.0f} s, {soak.num_kills} kills of the worker", str(len(records)))
    figures.add("soak", "lost, or made twice", "0", "0")
    figures.add("soak", "cancelled; attempts in all", f"{states['cancelled']}; {attempts}")
    for who in ("server", "worker"):
        check_level(who, soak.warm_life(who), figures)


def check_level(who: str, life: Sequence[Usage], figures: Any) -> None:
    """Memory has no slope, and handles and threads are as many as before."""
    times_s = [usage.at_s for usage in life]
    measured_s = times_s[-1] - times_s[0]
    for name, what in (("own_bytes", "own memory"), ("resident_bytes", "resident memory")):
        values = [getattr(usage, name) for usage in life]
        slope = Slope.of(times_s, values)
        text = (
            f"{slope.per_hour / 1e6:+.1f} ± {slope.error / 1e6:.1f} MB/h at {statistics.median(values) / MIB:.0f} MiB"
        )
        figures.add("soak", f"{what} of the {who}, over {measured_s / 60:.0f} min", text, "≤ 2 MB/h in an hour's run")
        # Of a short run the line is as steep as chance makes it: only what exceeds that is a growth.
        doubt = 0.0 if measured_s >= HOUR_S / 2 else 3 * slope.error + MIB * HOUR_S / measured_s
        assert slope.per_hour <= MAX_SLOPE_BYTES + doubt, f"the {who}'s {what} grows"
    for what in ("descriptors", "threads"):
        counts = [getattr(usage, f"num_{what}") for usage in life]
        before, after = (statistics.median(half) for half in (counts[: len(counts) // 2], counts[len(counts) // 2 :]))
        figures.add("soak", f"{what} of the {who}, first → second half", f"{before:.0f} → {after:.0f}", "level")
        assert after <= before + (0 if measured_s >= HOUR_S / 2 else 2)
