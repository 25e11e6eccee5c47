"""A server that takes what is posted, in a thread; the next answers can be made to go wrong."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver:
    """The server.

    Attributes:
        address: Where it listens.
        statuses: Of the next answers, the first first; afterwards 204.
        headers: Of all answers.
        requests: Path, headers and body of all requests so far.
        hold: While it is not set, answers come a byte at a time, and never to an end.
    """

    def __init__(self) -> None:
        self.statuses: deque[int] = deque()
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.hold = threading.Event()
        self.hold.set()
        state = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                state.requests.append((self.path, headers, json.loads(body)))
                with suppress(ConnectionError):
                    if not state.hold.is_set():
                        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
                        while not state.hold.wait(0.05):
                            self.wfile.write(b"x")
                        return
                    self.send_response(state.statuses.popleft() if state.statuses else 204)
                    for name, value in state.headers.items():
                        self.send_header(name, value)
                    self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def files(self) -> list[list[str]]:
        """The photos of each request."""
        return [[photo["file"] for photo in body["photos"]] for _, _, body in self.requests]

    def stop(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run the server; the machine's own proxies are not asked for it."""
    receiver = Receiver()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
                patch.delenv(name)
            yield receiver
    finally:
        receiver.stop()
