"""uvicorn, with limits, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from photoramd.clock import Monotonic, monotonic
from photoramd.net.connections import BoundedProtocol

_IDLE_SECONDS = 5
_END_SECONDS = 2
"""How long answers that are under way may take when the server is to end."""

_BEAT_SECONDS = 5.0
_HANDSHAKE_SECONDS = 10.0


def bounded(app: Any, protocol: type[BoundedProtocol], **more: Any) -> uvicorn.Config:
    """Return how to serve an application.

    Args:
        app: The application, of ASGI.
        protocol: Its connections.
        more: Further arguments of `uvicorn.Config`, or other ones.
    """
    # What is no HTTP is not worth a line; nor is a client that went away.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

    given: dict[str, Any] = {
        "http": protocol,
        "ws": "none",
        "loop": "photoramd.net.server:Loop",
        "log_config": None,
        "access_log": False,
        # Whether proxies are believed is the application's business.
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": _IDLE_SECONDS,
        "timeout_graceful_shutdown": _END_SECONDS,
    }
    return uvicorn.Config(app, **{**given, **more})


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clients must not take a minute for TLS's first messages, as asyncio allows."""

    async def create_server(self, *arguments: Any, **named: Any) -> Any:
        """Create a server."""
        if named.get("ssl") is not None:
            named.setdefault("ssl_handshake_timeout", _HANDSHAKE_SECONDS)
        return await super().create_server(*arguments, **named)


class Server(uvicorn.Server):
    """A server that ends on SIGTERM and SIGINT.

    Args:
        config: How to serve.
        on_ready: Called once requests are answered.
        beat: Called every few seconds, in the loop that answers.
        beat_seconds: How often.
        clock: The present time.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], object],
        beat: Callable[[], object],
        *,
        beat_seconds: float = _BEAT_SECONDS,
        clock: Callable[[], Monotonic] = monotonic,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._beat = beat
        self._beat_seconds = beat_seconds
        self._clock = clock
        self._next_beat = float("-inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Beat, by a clock that nobody sets; uvicorn's ``callback_notify`` goes by the wall's."""
        now = self._clock()
        if now >= self._next_beat:
            self._next_beat = now + self._beat_seconds
            self._beat()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Let signals end the server; unlike uvicorn's, without raising them again afterwards."""
        wanted = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in wanted}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)
