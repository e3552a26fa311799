"""Serving over HTTPS, and files it cannot be served with."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from engine.core.errors import SettingsError
from engine.server.app import running_server
from engine.server.tls import tls_context
from tests.server_harness import FAKE_WORKER, ROOT, running, settings_in, write

FILES = ROOT / "tests" / "data" / "tls"
CERTIFICATE, KEY = FILES / "server.crt", FILES / "server.key"


def secured(folder: Path, certificate: Path | None = CERTIFICATE, key: Path | None = KEY, **changes):
    return settings_in(folder, tls_certfile=certificate, tls_keyfile=key, **changes)


@pytest.fixture
def trust() -> ssl.SSLContext:
    """A client that trusts the test certificate and nothing else."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@pytest_asyncio.fixture
async def server(tmp_path):
    """A server of HTTPS with a token."""
    async with running(secured(tmp_path, token="open sesame")) as found:
        yield found


def bearer(**headers: str) -> dict[str, str]:
    return {"Authorization": "Bearer open sesame", **headers}


async def test_a_job_is_submitted_and_its_file_fetched_over_https(server, trust):
    assert server.url.startswith("https://127.0.0.1:")
    status, answer = await server.call(
        "POST", "/jobs", json={"prompt": write("words"), "wait": 30}, headers=bearer(), ssl=trust
    )
    assert (status, answer["job"]["state"]) == (201, "succeeded")
    name = answer["job"]["outputs"]["1"]["images"][0]["filename"]
    address = f"{server.url}/view?filename={name}&type=output"
    async with server.session.get(address, headers=bearer(), ssl=trust) as reply:
        assert reply.status == 200
        assert await reply.read() == (server.engine.services.settings.folders.output / name).read_bytes()


async def test_a_socket_is_opened_over_https(server, trust):
    async with server.session.ws_connect(f"{server.url}/ws", headers=bearer(), ssl=trust) as socket:
        assert (await socket.receive_json(timeout=60))["type"] == "status"


async def test_the_own_origin_is_that_of_https(server, trust):
    host = server.url.removeprefix("https://")
    found = {}
    for origin in (f"https://{host}", f"http://{host}", "https://evil.example"):
        found[origin], _ = await server.call("GET", "/system/health", headers=bearer(Origin=origin), ssl=trust)
    assert list(found.values()) == [200, 403, 403]


async def test_the_cookie_of_a_token_stays_on_https(server, trust):
    async with server.session.get(f"{server.url}/?token=open%20sesame", ssl=trust, allow_redirects=False) as reply:
        assert reply.status == 303
        assert "; Secure" in reply.headers["Set-Cookie"]


async def test_plain_http_and_clients_that_do_not_trust_the_certificate_get_nothing(server):
    with pytest.raises(aiohttp.ClientConnectionError):
        await server.session.get(server.url.replace("https", "http"))
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await server.session.get(server.url)


def refusal(settings) -> str:
    with pytest.raises(SettingsError) as caught:
        tls_context(settings)
    assert caught.value.hint
    return caught.value.message


def test_one_file_without_the_other_is_refused(tmp_path):
    assert refusal(secured(tmp_path, key=None)) == "--tls-certfile was given without --tls-keyfile."
    assert refusal(secured(tmp_path, certificate=None)) == "--tls-keyfile was given without --tls-certfile."


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "missing.pem"
    assert refusal(secured(tmp_path, certificate=missing)).startswith(
        f"--tls-certfile {missing} cannot be read: No such"
    )
    assert refusal(secured(tmp_path, key=tmp_path)).startswith(f"--tls-keyfile {tmp_path} cannot be read: Is a dir")


@pytest.mark.parametrize("content", [b"", b"words", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_file_without_a_certificate_is_named(tmp_path, content):
    path = tmp_path / "wrong.pem"
    path.write_bytes(content)
    assert refusal(secured(tmp_path, certificate=path)) == f"--tls-certfile {path} holds no certificate."


def test_a_key_file_without_the_key_is_named(tmp_path):
    swapped = refusal(secured(tmp_path, key=CERTIFICATE))
    assert swapped == f"--tls-keyfile {CERTIFICATE} holds no private key."
    other = FILES / "other.key"
    assert refusal(secured(tmp_path, key=other)).startswith(f"--tls-keyfile {other} is not the key of the certificate")


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path):
    encrypted = FILES / "encrypted.key"
    assert refusal(secured(tmp_path, key=encrypted)) == f"--tls-keyfile {encrypted} is encrypted."


async def test_files_that_cannot_be_used_stop_the_start_before_a_worker_is_started(tmp_path):
    settings = secured(tmp_path, key=FILES / "other.key")
    with pytest.raises(SettingsError, match="not the key"):
        async with running_server(settings, worker_command=FAKE_WORKER):
            pass
    assert not settings.folders.data.exists()
