from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from compat.server.conftest import Client, ServerThread, make_settings, serving


@pytest.fixture(scope="session")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server with a small upload limit and a secret beside its folders."""
    root = tmp_path_factory.mktemp("hostile")
    settings = make_settings(root / "installation", "classic_pack", max_upload_bytes=1 << 20)
    (root / "secret.png").write_bytes(b"\x89PNG secret")
    (root / "installation" / "secret.safetensors").write_bytes(b"secret")
    with serving(settings) as running:
        yield running


@pytest.fixture
async def client(hostile_server: ServerThread) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(http, hostile_server.address)
