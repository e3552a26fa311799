"""A server has all its threads from the start, so that more of them can only mean that some were lost."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from tests.server_harness import running, settings_in


async def test_calls_that_block_bring_no_new_threads(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path)) as server:
        before = threading.active_count()
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.02) for _ in range(64)))
        status, _ = await server.call("GET", "/jobs")
        assert (status, threading.active_count()) == (200, before)
