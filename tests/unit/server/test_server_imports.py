"""What the server process may have in it."""

from __future__ import annotations

import subprocess
import sys

from tests.server_harness import ROOT

SERVE_ONCE = """
import asyncio, sys, tempfile
from pathlib import Path
from tests.server_harness import running, settings_in, write

async def main():
    with tempfile.TemporaryDirectory() as folder:
        async with running(settings_in(Path(folder))) as server:
            job = await server.submit(write("x"), wait=60)
            assert job["state"] == "succeeded", job
            for path in ("/assets", "/catalog", "/system/stats", "/system/installation", "/openapi.json"):
                assert (await server.call("GET", path))[0] == 200
            asset = (await server.call("GET", "/assets"))[1][0]
            assert (await server.call("GET", f"/assets/{asset['id']}/thumbnail"))[0] == 200
    heavy = {"torch", "numpy", "safetensors", "kornia", "open_clip", "einops"} & set(sys.modules)
    print(sorted(heavy))

asyncio.run(main())
"""


def test_a_server_that_ran_a_job_never_imported_torch_or_numpy():
    done = subprocess.run(
        [sys.executable, "-c", SERVE_ONCE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
