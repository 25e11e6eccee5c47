"""The server: uvicorn, with limits, from its start to its end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import uvicorn

from photoramd.errors import ConfigError
from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import Server, bounded
from photoramd.net.sockets import is_for_others
from photoramd.web.app import make_app
from photoramd.web.events import Feed
from photoramd.web.gate import MOST_HEADER_BYTES, guarded
from photoramd.web.headers import HEADERS
from photoramd.web.site import Site


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
    app = make_app(site)

    config = bounded(
        guarded(app, site),
        _Protocol,
        lifespan="on",
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )
    _Server(config, app.state.feed, on_ready, beat).run(list(sockets))


class _Protocol(BoundedProtocol):
    headers_of_refusals = HEADERS


class _Server(Server):
    def __init__(
        self,
        config: uvicorn.Config,
        feed: Feed,
        on_ready: Callable[[], object],
        beat: Callable[[], object],
    ) -> None:
        super().__init__(config, on_ready, beat)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # They would never end by themselves.
        self._feed.stop()
        await super().shutdown(sockets)
