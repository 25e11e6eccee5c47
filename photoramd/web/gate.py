"""What every request must pass before the application sees it.

Each check looks at the request's line and headers only, so that what is refused costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qsl, quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from photoramd.clock import Monotonic, monotonic
from photoramd.config.addresses import UNIX
from photoramd.system.container import is_container
from photoramd.web.access import Access
from photoramd.web.headers import SecureHeaders
from photoramd.web.hosts import Hosts, is_embedded, is_own
from photoramd.web.problems import Problem, response
from photoramd.web.site import Site

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 1 << 16
MOST_HEADER_BYTES = 1 << 15
MOST_ADDRESS_BYTES = 1 << 13
"""Path and query. A query of the search box may be long; this is a page of text."""

COOKIE = "photoramd"

_SAFE = ("GET", "HEAD")
_WITHOUT_TOKEN = ("/healthz", "/login", "/api/v1/login", "/api/v1/logout")
_SESSION_ROUTES = ("/api/v1/login", "/api/v1/logout")
_TOKEN_NAMES = ("token", "access_token")


def guarded(app: ASGIApp, site: Site) -> ASGIApp:
    """Return an application behind the gate; its refusals have the same headers as its answers."""
    guard: ASGIApp = Gate(app, site)
    if proxies := site.config.gallery.trusted_proxies:
        guard = _Forwarded(guard, proxies)
    return SecureHeaders(guard)


class Gate:
    """Refuses requests.

    Args:
        app: The application.
        site: What it serves.
        now: The present time.
    """

    def __init__(self, app: ASGIApp, site: Site, now: Callable[[], Monotonic] = monotonic) -> None:
        self._app = app
        self._site = site
        self._now = now
        self._hosts = Hosts(site.config.gallery.hosts, has_outer_address=is_container())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the server does not even offer WebSockets
            return
        headers = Headers(scope=scope)
        malformed = _malformed(scope, headers)
        refusal = (
            malformed
            or self._of_another_host(scope, headers)
            or self._moved(scope)
            or _from_elsewhere(scope, headers)
            or self._without_token(scope, headers)
            or self._not_editable(scope)
        )
        if refusal is not None:
            if malformed is None and self._may_look(headers):
                await _discard(receive)
            await refusal(scope, receive, send)
        else:
            with suppress(ClientDisconnect):
                await self._app(scope, _limited(receive), send)

    def _of_another_host(self, scope: Scope, headers: Headers) -> Response | None:
        address = scope["server"][0] if scope["server"] and scope["server"][1] else None
        if self._hosts.include(headers["host"], address):
            return None
        remedy = "name it under hosts in the section [gallery] of photoramd's configuration"
        if is_container():
            remedy += ", or set GALLERY_HOST in compose.yaml's .env to it"
        return _refusal(421, "the gallery is not known by this name", remedy)

    def _moved(self, scope: Scope) -> Response | None:
        """Note what of the path is the gallery's own. Proxies may have removed the rest, or not."""
        base = self._site.config.gallery.base_path
        path: str = scope["path"]
        if base and path == base:
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{base}/{'?' if query else ''}{query}", 308)
        if not path.startswith(f"{base}/"):
            scope["path"] = base + path
        scope["root_path"] = base
        return None

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        names = {name.lower() for name, _ in pairs}
        if not names.isdisjoint(_TOKEN_NAMES):
            log.warning(
                "a request with a token in its address was refused; if it was the gallery's, make "
                "a new one: addresses are logged on their way"
            )
            return _refusal(400, "a token does not belong into an address")
        route = _route(scope)
        access = self._site.access
        if access is None or route in _WITHOUT_TOKEN or route.startswith("/static/"):
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return try_token(access, token.strip(), client_of(scope), self._now())
        if self._may_look(headers):
            return None
        if route.startswith("/api/") or route == "/metrics" or scope["method"] not in _SAFE:
            return _unauthorised()
        query = scope["query_string"].decode("latin-1")
        wanted = quote(route.removeprefix("/") + ("?" if query else "") + query, safe="")
        base = self._site.config.gallery.base_path
        return RedirectResponse(f"{base}/login" + (f"?next={wanted}" if wanted else ""), 303)

    def _may_look(self, headers: Headers) -> bool:
        """Return whether somebody has logged in, or need not: strangers' bodies are never read."""
        access = self._site.access
        return access is None or any(
            access.sessions.has(each, self._now()) for each in session_numbers(headers)
        )

    def _not_editable(self, scope: Scope) -> Response | None:
        is_change = scope["method"] not in _SAFE and _route(scope) not in _SESSION_ROUTES
        if self._site.can_edit or not is_change:
            return None
        return _refusal(403, "nothing can be changed here", self._site.why_read_only)


class _Forwarded:
    """Believes what trusted proxies say of their clients; who comes by a socket is ``unix``."""

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._believe = ProxyHeadersMiddleware(cast(Any, app), list(proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["client"]:
            scope["client"] = (UNIX.removesuffix(":"), 0)
        await self._believe(cast(Any, scope), cast(Any, receive), cast(Any, send))


def try_token(access: Access, token: str, address: str, now: Monotonic) -> Response | None:
    """Return the refusal if this is not the token, or wrong ones came too often."""
    if wait := access.failures.seconds_to_wait(address, now):
        return _refusal(
            429,
            "too many wrong tokens came from this address",
            "try again in a minute",
            {"Retry-After": str(math.ceil(wait))},
        )
    if access.token.is_same(token):
        return None
    access.failures.note(address, now)
    log.warning("a wrong token came from %s", address)
    return _unauthorised(', error="invalid_token"')


def client_of(scope: Scope) -> str:
    """Return the address that a request comes from; ``unix`` for a socket's file."""
    client = scope.get("client")
    return client[0] if client else UNIX.removesuffix(":")


def session_numbers(headers: Headers) -> list[str]:
    """Return the numbers of sessions in a request's cookies: another path may have one, too."""
    cookies = ";".join(headers.getlist("cookie")).split(";")
    pairs = (each.strip().partition("=") for each in cookies)
    return [value for name, _, value in pairs if name == COOKIE]


def _malformed(scope: Scope, headers: Headers) -> Response | None:
    """Refuse what no browser sends, and what proxies may understand in another way than we do."""
    path = scope["path"]
    if sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEADER_BYTES:
        return _refusal(431, "the headers are too long")
    if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_ADDRESS_BYTES:
        return _refusal(414, "the address is too long", "shorten the query")
    is_odd = any(c < " " or c in "\x7f\\" for c in path) or "//" in path
    if is_odd or not path.startswith("/") or {".", ".."} & set(path.split("/")):
        return _refusal(400, "the address is malformed")
    if len(headers.getlist("host")) != 1:
        return _refusal(400, "a request needs one Host")
    lengths = headers.getlist("content-length")
    if len(lengths) > 1 or (lengths and "transfer-encoding" in headers):
        return _refusal(400, "the length of the request is ambiguous")
    if lengths and int(lengths[0]) > MOST_BODY_BYTES:
        return _refusal(413, _TOO_LARGE)
    return None


def _from_elsewhere(scope: Scope, headers: Headers) -> Response | None:
    if scope["method"] in _SAFE:
        return _refusal(403, "other sites may not use it") if is_embedded(headers) else None
    if not is_own(headers, headers["host"]):
        return _refusal(403, "other sites may not change anything")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refusal(415, "the request must be JSON", "send Content-Type: application/json")
    return None


def _limited(receive: Receive) -> Receive:
    """Return what reads a body of a bounded size, whatever its length was said to be."""
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BODY_BYTES:
            raise HTTPException(413, _TOO_LARGE, _CLOSE)
        return message

    return read


async def _discard(receive: Receive) -> None:
    """Read the body of a request that is refused, if it is small and comes soon.

    A connection that ends before all was read is reset, and a proxy then tells its client of a bad
    gateway (502) in place of the refusal.
    """
    read = _limited(receive)
    with suppress(HTTPException, TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while (await read()).get("more_body"):
                pass


_DISCARD_SECONDS = 2.0
_TOO_LARGE = f"the request is larger than {MOST_BODY_BYTES >> 10} KiB"
_CLOSE = {"Connection": "close"}


def _route(scope: Scope) -> str:
    """Return a request's path below the gallery's own."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


def _unauthorised(more: str = "") -> Response:
    headers = {"WWW-Authenticate": f'Bearer realm="photoramd"{more}'}
    return _refusal(
        401, "the gallery's token is needed", "log in, or send Authorization: Bearer TOKEN", headers
    )


def _refusal(
    status: int, title: str, detail: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    # What follows on the connection may be a part of what was refused.
    return response(Problem(title, status, detail), {**_CLOSE, **(headers or {})})
