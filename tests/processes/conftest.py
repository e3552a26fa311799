"""Fixtures of the process tests."""

from __future__ import annotations

import pytest_asyncio

from tests.server_harness import running, settings_in


@pytest_asyncio.fixture
async def server(tmp_path):
    """A server over the fake worker in a fresh folder."""
    async with running(settings_in(tmp_path)) as found:
        yield found
