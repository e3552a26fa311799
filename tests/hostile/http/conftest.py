"""A server with something to protect."""

from __future__ import annotations

import pytest_asyncio

from tests.server_harness import running, settings_in


@pytest_asyncio.fixture
async def server(tmp_path):
    """A running server whose folder has a secret beside the served folders."""
    (tmp_path / "secret.txt").write_text("SECRET")
    async with running(settings_in(tmp_path, max_upload_bytes=1 << 20)) as found:
        yield found
