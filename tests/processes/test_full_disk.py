"""Real full disks: small file systems of their own, filled to the last byte and emptied again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from engine.core.ids import JobId
from engine.server.records import TERMINAL_STATES
from tests.server_harness import Server, running, settings_in, toy, write


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of `size` at `folder`. Skips where this user may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root mounts file systems")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No byte is free on the disk meanwhile."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"\0" * 65536):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


def upload() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", b"x" * 100_000, filename="a.bin")
    return form


async def until(server: Server, job: str, state: str) -> None:
    while (await server.call("GET", f"/jobs/{job}"))[1]["state"] not in (state, *TERMINAL_STATES):
        await asyncio.sleep(0.02)


async def test_on_a_full_disk_a_submit_is_refused_clearly_and_accepted_jobs_end_when_there_is_room(
    tmp_path,
):
    with small_disk(tmp_path / "user", "3m") as disk:
        async with running(settings_in(tmp_path)) as server:
            kept = await server.submit(toy("Sleep", seconds=0.5))
            await until(server, kept["id"], "running")
            with filled(disk):
                long = {"1": {"class_type": "Show", "inputs": {"text": "x" * 200_000}}}
                status, answer = await server.call("POST", "/jobs", json={"prompt": long, "id": "refused"})
                assert (status, answer["error"]["code"]) == (507, "storage_failed")
                assert "full" in answer["error"]["message"]
                status, answer = await server.call("POST", "/api/prompt", json={"prompt": long})
                assert status == 507
                assert (await server.call("GET", "/system/health"))[0] == 200
                await asyncio.sleep(0.7)  # the job ends in the meantime; its end cannot be written down
            assert (await server.call("GET", f"/jobs/{kept['id']}/wait?seconds=60"))[1]["state"] == "succeeded"
            assert (await server.call("GET", "/jobs/refused"))[0] == 404
            after = await server.submit(write("after"), id="refused")
            record = (await server.call("GET", f"/jobs/{after['id']}/wait?seconds=60"))[1]
            assert record["state"] == "succeeded"
        async with running(settings_in(tmp_path)) as server:
            assert (await server.engine.get(JobId("refused"))).state == "succeeded"


async def test_with_the_output_disk_full_a_job_says_so_leaves_nothing_half_made_and_runs_again(tmp_path):
    with small_disk(tmp_path / "output", "1m") as disk:
        async with running(settings_in(tmp_path)) as server:
            with filled(disk):
                job = await server.submit(write("x" * 5000))
                record = (await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60"))[1]
                assert (record["state"], record["error"]["code"]) == ("failed", "output_not_placed")
                assert "No space left" in record["error"]["message"]
                assert [path.name for path in disk.iterdir()] == ["ballast"]
                assert (await server.call("GET", "/assets"))[1] == []
            assert (await server.call("POST", f"/jobs/{job['id']}/requeue"))[0] == 200
            record = (await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60"))[1]
            assert record["state"] == "succeeded"
            (file,) = disk.iterdir()
            assert file.name == "toy_00001_.png"
            assert file.stat().st_size > 5000


async def test_with_the_input_disk_full_an_upload_is_refused_clearly_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "user", "3m") as disk:
        async with running(settings_in(tmp_path)) as server:
            with filled(disk):
                status, answer = await server.call("POST", "/assets", data=upload())
                assert (status, answer["error"]["code"]) == (507, "storage_failed")
                assert list(disk.rglob("*.part")) == []
            status, _ = await server.call("POST", "/assets", data=upload())
            assert status == 201


async def test_a_worker_that_cannot_stage_fails_the_job_with_the_reason_and_leaves_no_part(tmp_path):
    settings = settings_in(tmp_path)
    packs = Path(__file__).parent / "packs"
    settings = replace(settings, folders=replace(settings.folders, custom_nodes=(packs,)))
    picture = {
        "1": {"class_type": "UnlikePicture", "inputs": {"name": "a", "batch_size": 1}},
        "2": {"class_type": "Rest", "inputs": {"image": ["1", 0], "seconds": 0.0}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "p"}},
    }
    staging = settings.folders.data / "staging"
    with small_disk(staging, "64k") as disk:
        staging.chmod(0o700)
        async with running(settings, None) as server:
            with filled(disk):
                job = await server.submit(picture)
                record = (await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60"))[1]
                assert record["state"] == "failed"
                assert (record["error"]["node"], record["error"]["code"]) == ("3", "storage_failed")
                assert [path.name for path in disk.iterdir()] == ["ballast"]
            assert (await server.call("POST", f"/jobs/{job['id']}/requeue"))[0] == 200
            record = (await server.call("GET", f"/jobs/{job['id']}/wait?seconds=60"))[1]
            assert record["state"] == "succeeded"
            assert [path.name for path in settings.folders.output.iterdir()] == ["p_00001_.png"]
