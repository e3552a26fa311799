"""The job store on PostgreSQL: the store's own tests, on a cluster made for them.

Skipped where PostgreSQL's programs are not installed (Debian: `apt-get install postgresql`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_port import own_port

ROOT = Path(__file__).resolve().parents[2]
STORE_TESTS = ("test_job_store.py", "test_leases.py", "test_outputs.py", "test_follow.py")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, newest version first."""
    on_path = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [Path(on_path).parent] if on_path else []
    return next((folder for folder in [*found, *folders] if (folder / "initdb").exists()), None)


def as_owner(folder: Path, *command: str) -> None:
    """Run a program of PostgreSQL, which refuses to run as root: as its own user then, who must own the folder."""
    if os.getuid() == 0:
        command = ("runuser", "-u", "postgres", "--", *command)
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path("/tmp") / f"atelier-postgresql-{os.getpid()}"  # a short path: its socket's name has a length limit
    folder.mkdir()
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        as_owner(folder, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "atelier", "-N")
        port = own_port()
        # Nobody pulls the plug on this one: what is tested is the store, not how the disk is told.
        hasty = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        options = f"-p {port} -k {folder} -h 127.0.0.1 {hasty}"
        control = (str(binaries / "pg_ctl"), "-D", str(data), "-w")
        as_owner(folder, *control, "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://atelier@127.0.0.1:{port}/postgres"
        finally:
            as_owner(folder, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tests_of_the_job_store_pass_on_postgresql(url: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"tests/unit/server/{name}" for name in STORE_TESTS]
    environment = {**os.environ, "ATELIER_TEST_DATABASE_URL": url}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    assert result.returncode == 0, result.stdout[-4000:]
