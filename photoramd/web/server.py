"""The server: uvicorn, with limits, from its start to its end."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import uvicorn

from photoramd.errors import ConfigError
from photoramd.web.app import make_app
from photoramd.web.connections import BoundedProtocol
from photoramd.web.events import Feed
from photoramd.web.gate import MOST_HEADER_BYTES, guarded
from photoramd.web.site import Site
from photoramd.web.sockets import is_for_others

_IDLE_SECONDS = 5
_END_SECONDS = 2
"""How long answers that are under way may take when the server is to end."""

_BEAT_SECONDS = 5


def require_safety(site: Site, sockets: Sequence[socket.socket]) -> None:
    """Refuse to show the photos to other machines without a token.

    Raises:
        ConfigError: That would happen.
    """
    if site.access is None and is_for_others(sockets):
        raise ConfigError(
            "other machines can reach this address, so the gallery needs a token there",
            remedy="photoramd serve --new-token FILE makes one; name it with --token-file FILE or "
            "as token_file in [gallery]; or listen on 127.0.0.1 only",
        )


def serve(
    site: Site,
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], object] = lambda: None,
    beat: Callable[[], object] = lambda: None,
) -> None:
    """Serve a site until SIGTERM or SIGINT.

    Args:
        site: What is served.
        sockets: Those to listen on.
        on_ready: Called once requests are answered.
        beat: Called every few seconds.

    Raises:
        ConfigError: See `require_safety`.
    """
    require_safety(site, sockets)
    # What is no HTTP is not worth a line; nor is a client that went away.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    app = make_app(site)

    async def notify() -> None:
        beat()

    config = uvicorn.Config(
        guarded(app, site),
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        # `guarded` believes proxies, or not.
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
        timeout_notify=_BEAT_SECONDS,
        callback_notify=notify,
    )
    _Server(config, app.state.feed, on_ready).run(list(sockets))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, feed: Feed, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._feed = feed
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # They would never end by themselves.
        self._feed.stop()
        await super().shutdown(sockets)

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
