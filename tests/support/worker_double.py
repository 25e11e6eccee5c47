"""A worker without Ray: what it says is real, and so is its model; how it is served is not.

It is a plain server in the tests' process. A test may have it say something else.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec
import numpy as np

from photoramd.models.description import Description
from photoramd.models.features import scores_and_features
from photoramd.models.preprocessing import digest_of
from photoramd.models.remote.protocol import (
    MEDIA_TYPE,
    MODEL_PATH,
    Identity,
    ModelAnswer,
    Problem,
    ScoresAnswer,
    ScoresRequest,
    identity_of,
)
from photoramd.models.tagger import Tagger
from tests.support.programs import free_port

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105  of the tests


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer. ``raw`` is sent as it is, in place of all else; then the connection ends.

    With ``pause`` each byte waits for so long; ``resets`` ends the connection by a reset.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    resets: bool = False
    pause: float = 0.0


def problem(status: int, code: str, message: str = "so", identity: Identity | None = None) -> Reply:
    """A refusal, as workers word it."""
    said = Problem(code=code, message=message, identity=identity)  # type: ignore[arg-type]
    return Reply(status, msgspec.msgpack.encode(said))


class WorkerDouble:
    """Use it as a context manager; it then serves.

    Args:
        tagger: The model.
        tls: What it serves with; None: plain HTTP.

    Attributes:
        says: Returns what a request is answered with, or None: the truth.
        seen: The requests so far.
        pictures: How many pictures the model has looked at.
        at_once: What it says of how many requests it works on at a time.
    """

    def __init__(self, tagger: Tagger, tls: ssl.SSLContext | None = None) -> None:
        self.says: Callable[[Seen], Reply | None] = lambda _: None
        self.seen: list[Seen] = []
        self.pictures = 0
        self.at_once = 1
        self._tagger = tagger
        self._tls = tls
        self._lock = threading.Lock()  # a model is called from one thread
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        description = Description(tagger.name, tagger.revision, tagger.vocabulary, tagger.crop)
        self.identity = identity_of(description)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, at the same address as before."""
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Go away, with all connections."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        for each in list(self._connections):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def truth(self, seen: Seen) -> Reply:
        """What a worker answers."""
        if seen.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthorized")
        if seen.method == "GET" and seen.path == MODEL_PATH:
            answer = ModelAnswer(
                identity=self.identity, version="1", device="cpu", at_once=self.at_once
            )
            return Reply(body=msgspec.msgpack.encode(answer))
        return Reply(body=msgspec.msgpack.encode(self.scores(seen.body)))

    def scores(self, body: bytes) -> ScoresAnswer:
        """The answer to a request for scores."""
        asked = msgspec.msgpack.decode(body, type=ScoresRequest)
        assert asked.identity == self.identity
        batch = [np.frombuffer(each, np.uint8).reshape(asked.shape) for each in asked.pixels]
        assert [digest_of(each) for each in batch] == asked.digests
        with self._lock:
            rows, vectors = scores_and_features(self._tagger, batch)
            self.pictures += len(batch)
        return ScoresAnswer(
            identity=self.identity,
            digests=asked.digests,
            scores=memoryview(rows.astype("<f4").tobytes()),
            features=None if vectors is None else memoryview(vectors.tobytes()),
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double, tls = self, self._tls

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                if tls is not None:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                double._connections.add(self.request)
                super().setup()

            def finish(self) -> None:
                with suppress(OSError, ValueError):
                    super().finish()
                double._connections.discard(self.request)
                self.request.close()

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                seen = Seen(self.command, self.path, dict(self.headers), body)
                double.seen.append(seen)
                reply = double.says(seen) or double.truth(seen)
                if reply.resets:
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    self.close_connection = True
                    return
                self._send(reply)

            def _send(self, reply: Reply) -> None:
                if reply.raw is not None:
                    self.close_connection = True
                    self.wfile.write(reply.raw)
                    return
                self.send_response(reply.status)
                headers = {
                    "Content-Type": MEDIA_TYPE, "Content-Length": str(len(reply.body)),
                    **reply.headers,
                }  # fmt: skip
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if not reply.pause:
                    self.wfile.write(reply.body)
                    return
                slowly = threading.Event()
                for number in range(len(reply.body)):
                    slowly.wait(reply.pause)
                    self.wfile.write(reply.body[number : number + 1])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what tests are about."""
