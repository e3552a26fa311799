"""The gate before every handler: host names, origins, tokens, content types, and the headers pages are sent with."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.core.settings import Settings
from engine.server.login_page import asks_for_page, login_page
from engine.server.replies import json_reply

__all__ = ["FILE_POLICY", "NATIVE_PREFIX", "PAGE_POLICY", "Gate", "host_name", "is_loopback", "needs_token"]

NATIVE_PREFIX = "/api/v1"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILE_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_FRONT_END_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_COOKIE = "atelier_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"^(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?$")
_MAX_WRONG = 10
_FORM_OVERHEAD_BYTES = 64 << 10
_WRONG_WINDOW_S = 60.0
_MAX_ADDRESSES = 10_000


def host_name(host: str) -> str | None:
    """The name in a Host header, lower case and without port and brackets; None when it is malformed."""
    match = _HOST.match(host)
    return match.group("name").strip("[]").lower() if match else None


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def needs_token(settings: Settings) -> bool:
    """Whether the server can be reached from other machines."""
    return not all(is_loopback(address) for address in settings.listen)


class Gate:
    """Decides about requests before any handler sees them."""

    def __init__(self, settings: Settings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._names = {name.lower() for name in (*settings.listen, *settings.allowed_hosts)}
        self._takes_any_address = any(_is_wildcard(address) for address in settings.listen)
        self._now_s = now_s
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def middleware(self) -> Middleware:
        """This gate as an aiohttp middleware; mount it first."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        return gate

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._refuse_host(request) or self._refuse_origin(request)
        if refusal is None and request.method == "OPTIONS":
            return self._finish(request, web.Response())
        refusal = refusal or self._refuse_stranger(request) or self._refuse_body(request)
        if refusal is not None:
            refusal.force_close()  # an unread body is not worth draining
            return self._finish(request, refusal)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = _plain_error(request, error)
        return self._finish(request, response)

    # ------------------------------------------------------------------ who is meant, who asks

    def _refuse_host(self, request: web.Request) -> web.Response | None:
        values = request.headers.getall("Host", [])
        name = host_name(values[0]) if len(values) == 1 else None
        if name is not None and (is_loopback(name) or name in self._names or self._is_own_address(name)):
            return None
        return _refusal(
            403,
            "unknown_host",
            "This server does not go by that host name.",
            "Start it with the name in --allowed-host.",
        )

    def _is_own_address(self, name: str) -> bool:
        """An address in digits cannot be rebound by a name server; it is fine where every address is listened on."""
        if not self._takes_any_address:
            return False
        try:
            return str(ipaddress.ip_address(name)) == name
        except ValueError:
            return False

    def _refuse_origin(self, request: web.Request) -> web.Response | None:
        origin = request.headers.get("Origin")
        if self._allows_cross_origin(origin):
            return None
        if origin is not None and not _is_same_origin(origin, request.headers["Host"], request.secure):
            return _refusal(403, "foreign_origin", "Requests from other sites are refused.", "")
        site = request.headers.get("Sec-Fetch-Site")
        if site in (None, "same-origin", "none"):
            return None
        is_navigation = (
            request.method in ("GET", "HEAD")
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest", "document") == "document"
            and "Upgrade" not in request.headers
        )
        if is_navigation:
            return None
        return _refusal(403, "foreign_site", "Requests from other sites are refused.", "")

    def _allows_cross_origin(self, origin: str | None) -> bool:
        allowed = self._settings.cors_origin
        return allowed is not None and (allowed == "*" or origin == allowed)

    # ------------------------------------------------------------------ tokens

    def _refuse_stranger(self, request: web.Request) -> web.StreamResponse | None:
        token = self._settings.token
        if token is None:
            return None
        if self._is_locked_out(request.remote or ""):
            response = _refusal(429, "too_many_tries", "Too many wrong tokens from this address.", "Wait a minute.")
            response.headers["Retry-After"] = str(int(_WRONG_WINDOW_S))
            return response
        given = request.query.get("token")
        if given is not None and request.method == "GET" and _equal(given, token):
            return None if _is_websocket(request) else self._welcome(request, token)
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        cookie = request.cookies.get(_COOKIE)
        if kind.lower() == "bearer" and _equal(value.strip(), token):
            return None
        if cookie is not None and _equal(cookie, _cookie_value(token)):
            return None
        if given is not None or value or cookie is not None:
            self._count_wrong(request.remote or "")
        if asks_for_page(request):
            response = login_page(is_wrong=given is not None)
        else:
            response = _refusal(
                401, "token_required", "A token is required.", "Send it as Authorization: Bearer, or open /?token=…."
            )
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _welcome(self, request: web.Request, token: str) -> web.Response:
        """Turn a token in the address into a cookie, and the address into one without it."""
        query = {name: value for name, value in request.query.items() if name != "token"}
        response = web.Response(status=303, headers={"Location": str(request.rel_url.with_query(query))})
        response.set_cookie(
            _COOKIE, _cookie_value(token), httponly=True, samesite="Strict", path="/", secure=request.secure
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    def _is_locked_out(self, address: str) -> bool:
        tries = [when for when in self._wrong.get(address, ()) if self._now_s() - when < _WRONG_WINDOW_S]
        return len(tries) >= _MAX_WRONG

    def _count_wrong(self, address: str) -> None:
        tries = self._wrong.setdefault(address, [])
        tries.append(self._now_s())
        del tries[:-_MAX_WRONG]
        self._wrong.move_to_end(address)
        while len(self._wrong) > _MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    # ------------------------------------------------------------------ content types

    def _refuse_body(self, request: web.Request) -> web.Response | None:
        """Look at what a body claims to be before any of it is read.

        State changes come as JSON; forms, which any page can send anywhere, only where files are uploaded.

        Old clients of the compatibility routes send JSON without saying so. They are no browsers: a browser states
        its origin with every request that changes something, and has been checked above.
        """
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _refusal(415, "encoded_body", "Compressed bodies are not accepted.", "Send it plain.")
        if (request.content_length or 0) > self._settings.max_upload_bytes + _FORM_OVERHEAD_BYTES:
            limit = f"Maximum request body size {self._settings.max_upload_bytes} exceeded."
            return _refusal(413, "upload_too_large", limit, "Raise --max-upload-size or send less.")
        if request.method in _SAFE_METHODS or not request.path.startswith(NATIVE_PREFIX):
            return None
        if not request.body_exists:
            return None
        wanted = "multipart/form-data" if request.path == f"{NATIVE_PREFIX}/assets" else "application/json"
        if request.content_type == wanted:
            return None
        return _refusal(415, "wrong_content_type", f"The body must be {wanted}.", f"Send Content-Type: {wanted}.")

    # ------------------------------------------------------------------ on the way out

    def _finish(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        if response.prepared:
            return response
        headers = response.headers
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        if "Content-Security-Policy" not in headers and response.content_type == "text/html":
            has_front_end = self._settings.front_end_root is not None
            headers["Content-Security-Policy"] = _FRONT_END_POLICY if has_front_end else PAGE_POLICY
        if self._settings.cors_origin is not None:
            headers["Access-Control-Allow-Origin"] = self._settings.cors_origin
            headers["Access-Control-Allow-Methods"] = "POST, GET, DELETE, PUT, PATCH, OPTIONS"
            headers["Access-Control-Allow-Headers"] = "Content-Type, Authorization"
            headers["Access-Control-Allow-Credentials"] = "true"
        else:
            headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


def _refusal(status: int, code: str, message: str, hint: str) -> web.Response:
    error = {"code": code, "message": message, **({"hint": hint} if hint else {})}
    return json_reply({"error": error}, status)


def _plain_error(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own errors in our form on the native API; elsewhere as they are."""
    if not request.path.startswith(NATIVE_PREFIX) or error.status < 400:
        # A fresh response with the same content: aiohttp wants its exceptions raised, not returned.
        headers = {name: value for name, value in error.headers.items() if name.lower() != "content-length"}
        return web.Response(status=error.status, reason=error.reason, body=error.body, headers=headers)
    response = _refusal(error.status, f"http_{error.status}", error.reason + ".", "See /api/v1/openapi.json.")
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _is_same_origin(origin: str, host: str, is_secure: bool) -> bool:
    """Whether an Origin header names the host that the request was sent to.

    A server of plain HTTP may stand behind one that ends HTTPS for it; one of HTTPS has no pages of plain HTTP.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    schemes = ("https",) if is_secure else ("http", "https")
    return parts.scheme in schemes and bool(parts.netloc) and parts.netloc.lower() == host.lower()


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_wildcard(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return address == ""


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _cookie_value(token: str) -> str:
    """What the browser keeps: proves the token without being it."""
    return hmac.new(token.encode(), b"atelier cookie", hashlib.sha256).hexdigest()
