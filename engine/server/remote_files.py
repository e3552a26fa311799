"""Files of other servers, asked for so that a request can reach public hosts on a list and nothing else.

Addresses are HTTPS on its usual port, every redirect is checked as the first address was, names are looked up once and
the connection goes to an address that was checked. No cookies, credentials or proxies take part.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from engine.server.failures import DownloadRefused

__all__ = ["PublicResolver", "RangeIgnored", "RemoteFile", "RemoteFiles", "is_public"]

_MAX_URL = 4000
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class RangeIgnored(Exception):
    """The host sends the whole file although a part was asked for."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a host says about a file; `sha256` is "" where it does not say."""

    url: str
    host: str
    size_bytes: int
    sha256: str


def is_public(text: str) -> bool:
    """Whether an address belongs to the open internet, seen through the ways IPv6 wraps IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False  # also addresses with a zone, which are local
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None or address.teredo is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address in _TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class PublicResolver(AbstractResolver):
    """Looks names up; a name with any address that is not public is refused."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The checked addresses. Raises DownloadRefused, OSError."""
        found = await self._inner.resolve(host, port, family)
        if not found or not all(is_public(item["host"]) for item in found):
            raise DownloadRefused(
                f"The host {host!r} has an address that is not public.",
                code="address_not_public",
                hint="Models are downloaded from the open internet only.",
            )
        return found

    async def close(self) -> None:
        """Close what looks up."""
        await self._inner.close()


class RemoteFiles:
    """Asks about files and reads them. `resolver` and `trust` are others in tests only."""

    def __init__(
        self, hosts: Iterable[str], resolver: AbstractResolver | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._resolver = resolver
        self._trust = trust

    def check(self, url: str | URL) -> URL:
        """The address, ready to be asked. Raises DownloadRefused."""
        try:
            address = URL(url) if isinstance(url, str) else url
            host, port = (address.raw_host or "").lower(), address.port
        except (ValueError, TypeError):
            raise _refused("That is no address.", "bad_address") from None
        if len(str(url)) > _MAX_URL or address.scheme != "https" or port != 443 or "@" in address.raw_authority:
            raise _refused(
                "Models are downloaded over HTTPS, from its usual port and without a password.", "bad_address"
            )
        if not _HOST.fullmatch(host) or not self._knows(host):
            allowed = ", ".join(sorted(self._hosts)) or "none"
            raise _refused(
                f"Models are not downloaded from {host[:100]!r}; allowed hosts: {allowed}.", "host_not_allowed"
            )
        return address

    def _knows(self, host: str) -> bool:
        if host.rpartition(".")[2].isdigit():
            return False  # an IPv4 address
        return any(host == name or host.endswith(f".{name}") for name in self._hosts)

    async def ask(self, url: str) -> RemoteFile:
        """Size and digest of a file. Raises DownloadRefused, aiohttp.ClientError, asyncio.TimeoutError, OSError."""
        async with self._following("HEAD", url, {}, is_enough=_says_all) as reply:
            size = reply.headers.get("X-Linked-Size") or reply.headers.get("Content-Length") or ""
            if not size.isascii() or not size.isdigit() or int(size[:20]) == 0:
                raise _refused("The host does not say how large the file is.", "no_size")
            return RemoteFile(url, self.check(url).raw_host or "", int(size[:20]), _digest(reply.headers))

    async def read(self, url: str, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `start` on. Raises RangeIgnored and what `ask` raises."""
        headers = {"Range": f"bytes={start}-"} if start > 0 else {}
        async with self._following("GET", url, headers) as reply:
            if start > 0 and not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise RangeIgnored
            async for chunk in reply.content.iter_chunked(_CHUNK_BYTES):
                yield chunk

    @asynccontextmanager
    async def _following(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        is_enough: Callable[[aiohttp.ClientResponse], bool] = lambda reply: False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The last of a chain of replies, or the first that is enough; every address on the way is checked."""
        resolver = self._resolver or PublicResolver(aiohttp.ThreadedResolver())
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, ssl=self._trust or True)
        options = {"Accept-Encoding": "identity", "User-Agent": "Atelier", **headers}
        async with aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            address = self.check(url)
            for _ in range(_MAX_REDIRECTS + 1):
                async with session.request(method, address, headers=options, allow_redirects=False) as reply:
                    if reply.status in _REDIRECTS and not is_enough(reply):
                        address = self.check(_next(address, reply.headers.get("Location", "")))
                        continue
                    if reply.status >= 400:
                        raise _refused(f"The host answered {reply.status} {reply.reason}.", "not_offered")
                    yield reply
                    return
        raise _refused("The host sends the request on and on.", "too_many_redirects")


def _next(address: URL, location: str) -> URL:
    """Where a redirect leads, as it is written: signatures in addresses are about every letter."""
    try:
        return address.join(URL(location, encoded=True))
    except ValueError:
        raise _refused("The host sends the request to what is no address.", "bad_address") from None


def _says_all(reply: aiohttp.ClientResponse) -> bool:
    """A redirect of a model hub that tells size and digest already."""
    return "X-Linked-Size" in reply.headers and _digest(reply.headers) != ""


def _digest(headers: Mapping[str, str]) -> str:
    text = headers.get("X-Linked-ETag", "").strip('"').lower()
    return text if _SHA256.fullmatch(text) else ""


def _refused(sentence: str, code: str) -> DownloadRefused:
    return DownloadRefused(sentence, code=code)
