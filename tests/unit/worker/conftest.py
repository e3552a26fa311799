"""A worker loop inside the test process: real executor, real lanes, and a server that places files as they come."""

import threading
import time
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest

from engine.core.folders import Folders, default_model_folders
from engine.execution.artifact_cache import ArtifactCache
from engine.execution.executor import Executor
from engine.protocol.messages import (
    CancelJob,
    JobDone,
    JobReport,
    Lease,
    OutputsPlaced,
    OutputsStaged,
    PlacedFile,
    Preview,
    Shutdown,
)
from engine.worker.artifact_store import ArtifactStore
from engine.worker.batcher import Batcher
from engine.worker.context import NodeSurroundings
from engine.worker.dependencies import Dependencies
from engine.worker.file_digests import FileDigests
from engine.worker.lanes import Lanes
from engine.worker.loop import WorkerLoop
from engine.worker.node_runner import NodeRunner
from engine.worker.pack_services import NoPackServices
from engine.worker.value_sizes import size_of
from tests.bundled_reports import single

TIMEOUT_S = 90.0


def make_folders(base: Path) -> Folders:
    for name in ("input", "output", "temp", "user", "custom_nodes", "models/checkpoints"):
        (base / name).mkdir(parents=True, exist_ok=True)
    packs = (base / "custom_nodes",)
    return Folders(
        base=base,
        input=base / "input",
        output=base / "output",
        temp=base / "temp",
        user=base / "user",
        custom_nodes=packs,
        models=default_model_folders(base / "models", base / "output", packs),
    )


class NoModels:
    """A model library for graphs without models; counts how often it was told to unload."""

    def __init__(self):
        self.num_freed = 0

    def free(self):
        self.num_freed += 1

    def memory_position(self):
        return 0

    def memory_story(self, position):
        return {}

    def take_held(self):
        return 0


class Bench:
    """A running worker loop. `run` leases a prompt and returns its JobDone."""

    def __init__(self, folders, definitions, lanes, batcher, cache):
        self.folders = folders
        self.models = NoModels()
        self.messages = []
        self._done = threading.Condition()
        self._number = 0
        live = MappingProxyType({definition.spec.name: definition for definition in definitions})
        dependencies = Dependencies(folders, live, FileDigests())
        around = NodeSurroundings(
            folders, lambda: self.models, lanes.pictures, take_held=lambda: self.models.take_held()
        )
        store = ArtifactStore(folders.data / "artifacts")
        on_disk = {item.address: item.size_bytes for item in store.index()}
        self.loop = WorkerLoop(
            Executor(ArtifactCache(size_of, **{"on_disk": on_disk, **cache}), lanes.limits),
            live,
            lambda post: NodeRunner(live, around, dependencies, lanes, batcher, post),
            dependencies,
            lanes,
            store,
            self.take,
            lambda: None,
            SimpleNamespace(
                free=lambda: self.models.free(),
                memory_position=lambda: self.models.memory_position(),
                memory_story=lambda position: self.models.memory_story(position),
                take_held=lambda: self.models.take_held(),
            ),
            lambda call: NoPackServices().answer(call, self.take),
        )
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def take(self, message):
        with self._done:
            self.messages.extend(single(message))
            self._done.notify_all()
        if isinstance(message, OutputsStaged):
            files = [
                PlacedFile(f"{file.prefix}_{file.ordinal + 1:05}_.{file.extension}", "", file.folder)
                for file in message.files
            ]
            self.loop.receive(OutputsPlaced(message.job, message.node, files))

    def lease(self, prompt, targets=None, **more):
        self._number += 1
        job = more.pop("job", f"job-{self._number}")
        targets = [list(prompt)[-1]] if targets is None else targets
        self.loop.receive(Lease(job, 1, 1, prompt, targets, **more))
        return job

    def run(self, prompt, targets=None, **more):
        return self.wait_for(self.lease(prompt, targets, **more))

    def wait_for(self, job):
        def done():
            return [m for m in self.messages if isinstance(m, JobDone) and m.job == job]

        with self._done:
            assert self._done.wait_for(done, TIMEOUT_S), f"{job} has not ended"
            return done()[0]

    def wait_until(self, holds):
        """Wait for what no message may tell of, so look again and again."""
        deadline = time.monotonic() + TIMEOUT_S
        with self._done:
            while not holds():
                assert time.monotonic() < deadline
                self._done.wait(0.01)

    def cancel(self, job):
        self.loop.receive(CancelJob(job))

    def reports(self, job, kind):
        return [m.data for m in self.messages if isinstance(m, JobReport) and m.job == job and m.kind == kind]

    def pictures(self, job):
        return [m for m in self.messages if isinstance(m, Preview) and m.job == job]

    def close(self):
        self.loop.receive(Shutdown())
        self._thread.join(TIMEOUT_S)


@pytest.fixture(scope="session")
def device():
    """One batcher and one set of lanes for all benches of the session, as threads of lanes never end."""
    benches = []

    def count_forward(forward):
        for bench in benches:
            bench.loop.count_forward(forward)

    batcher = Batcher(on_forward=count_forward)
    lanes = Lanes(batcher, num_cpu_threads=4, num_io_threads=2)
    return SimpleNamespace(batcher=batcher, lanes=lanes, benches=benches)


@pytest.fixture
def folders(tmp_path):
    return make_folders(tmp_path)


@pytest.fixture
def bench_of(folders, device):
    """bench_of(function, …, **cache options): a bench whose catalog is these node functions."""
    open_benches = []

    def make(*functions, **cache):
        definitions = [getattr(function, "__node__", function) for function in functions]
        bench = Bench(folders, definitions, device.lanes, device.batcher, cache)
        open_benches.append(bench)
        device.benches.append(bench)
        return bench

    yield make
    for bench in open_benches:
        device.benches.remove(bench)
        bench.close()
