"""A server with the routes of the Hugging Face hub, and of a mirror of other servers.

The hub redirects requests for a large file to another host, which has the bytes; so this is
two servers, on two ports. Requests are noted, and the next ones can be made to go wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

REPOSITORY = "someone/some-model"
REVISION = "0123456789abcdef0123456789abcdef01234567"

PROXIED = "http://proxied.test"
"""An address that only a proxy can know: the hub serves as one."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    Attributes:
        status: Answer with this instead.
        headers: Headers to add or replace; empty ones are left out.
        cut_after: Close the connection after so many bytes of the body.
        hold: Send half of what would be sent, then wait for this.
        ignores_range: Send the whole file, whatever was asked for.
        body: Send this instead.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    hold: threading.Event | None = None
    ignores_range: bool = False
    body: bytes | None = None


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    server: str
    path: str
    headers: Mapping[str, str]


class HubServer:
    """Both servers.

    Attributes:
        files: Large files of the repository, by name.
        mirrored: Files of other servers, by host and path.
        faults: Of the next requests to ``hub``, ``cdn`` and ``mirror``, the first first.
        requests: All requests so far.
        held: Set when an answer is being held back.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.mirrored: dict[str, bytes] = {}
        self.faults: dict[str, deque[Fault]] = {name: deque() for name in ("hub", "cdn", "mirror")}
        self.requests: list[Seen] = []
        self.held = threading.Event()
        self._hub = self._start("hub")
        self._cdn = self._start("cdn")
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.cdn = f"http://127.0.0.1:{self._cdn.server_port}"
        self.mirror = f"{self.endpoint}/mirror"

    def gets(self, server: str) -> list[Seen]:
        return [seen for seen in self.requests if seen.method == "GET" and seen.server == server]

    def _start(self, name: str) -> ThreadingHTTPServer:
        state = self

        class Handler(_Handler):
            hub = state
            server_name = name

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return server

    def stop(self) -> None:
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    server_name: str
    # With HTTP/1.1 connections would stay open and their threads with them.
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        self.path = self.path.removeprefix(PROXIED)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = "mirror" if self.path.startswith("/mirror/") else self.server_name
        hub.requests.append(Seen(self.command, server, self.path, headers))
        if self.server_name == "cdn":
            self._content("cdn", hub.files.get(self.path.removeprefix("/signed/")))
        elif server == "mirror":
            self._content("mirror", hub.mirrored.get(self.path.removeprefix("/mirror/")))
        else:
            self._resolve()

    def _resolve(self) -> None:
        fault = self._fault("hub")
        if fault.status is not None:
            self._head(fault.status, {"Content-Length": "0", **fault.headers})
            return
        match = re.fullmatch(rf"/{REPOSITORY}/resolve/{REVISION}/([^/]+)", self.path)
        data = self.hub.files.get(match[1]) if match else None
        if match is None or data is None:
            code = "EntryNotFound" if match else "RepoNotFound"
            self._head(404 if match else 401, {"X-Error-Code": code, "Content-Length": "0"})
            return
        headers = {
            "X-Repo-Commit": REVISION,
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.hub.cdn}/signed/{match[1]}",
            "Content-Length": "0",
        }
        self._head(302, {**headers, **fault.headers})

    def _content(self, route: str, data: bytes | None) -> None:
        fault = self._fault(route)
        if fault.status is not None or data is None:
            self._head(fault.status or 404, {"Content-Length": "0", **fault.headers})
            return
        data = data if fault.body is None else fault.body
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked and not fault.ignores_range else 0
        if asked and begin >= len(data):
            self._head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
            return
        headers = {"Content-Length": str(len(data) - begin), "Accept-Ranges": "bytes"}
        if asked and not fault.ignores_range:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self._head(206 if "Content-Range" in headers else 200, {**headers, **fault.headers})
        body = data[begin:]
        if fault.hold is not None:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.hub.held.set()
            fault.hold.wait(60)
            return
        with suppress(ConnectionError):  # the client may have enough
            self.wfile.write(body if fault.cut_after is None else body[: fault.cut_after])

    def _fault(self, route: str) -> Fault:
        faults = self.hub.faults[route]
        return faults.popleft() if faults else Fault()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()


@contextmanager
def serve() -> Iterator[HubServer]:
    """Run both servers; the machine's own proxies are not asked for them."""
    server = HubServer()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
                patch.delenv(name)
            yield server
    finally:
        server.stop()
