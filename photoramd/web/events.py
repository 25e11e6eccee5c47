"""What changes, as it happens: server-sent events.

Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html. One task looks at the
database for all clients, by SQLite's own counter of changes; without clients nothing is looked at.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from anyio import move_on_after, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from photoramd.errors import PhotoramdError
from photoramd.web.news import Lookout

log = logging.getLogger(__name__)

MOST_CLIENTS = 64
LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0

_MOST_WAITING = 16
"""A client that has so many events to read is not reading, and loses its connection."""

_BEGIN = b"retry: 3000\n\n"
_HEARTBEAT = b":\n\n"


class Client:
    """One that wants to hear of changes."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)

    def tell(self, event: bytes) -> bool:
        """Have an event sent; return whether the client still reads."""
        if not self._waiting.full():
            self._waiting.put_nowait(event)
            return True
        self.end()
        return False

    def end(self) -> None:
        """Send no more."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent, and a heartbeat if that is nothing for a while."""
        yield _BEGIN
        while True:
            event: bytes | None = _HEARTBEAT
            with move_on_after(HEARTBEAT_SECONDS):
                event = await self._waiting.get()
            if event is None:
                return
            yield event


class Feed:
    """Tells all clients what changed.

    Args:
        lookout: Looks at the database.
    """

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self._clients: set[Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._latest: dict[str, bytes] = {}
        self._is_stopped = False

    def join(self) -> Client | None:
        """Return a new client, who is told how things are; None if there are too many."""
        if self._is_stopped or len(self._clients) >= MOST_CLIENTS:
            return None
        client = Client()
        for event in self._latest.values():
            client.tell(event)
        self._clients.add(client)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)
        if not self._clients and self._task is not None:
            self._task.cancel()
            self._task = None
            self._latest.clear()

    def stop(self) -> None:
        """End all connections, and take no more."""
        self._is_stopped = True
        for client in self._clients:
            client.end()

    async def _look(self) -> None:
        async with self._looking:  # the task before may not have ended
            try:
                while True:
                    with suppress(PhotoramdError, sqlite3.Error):  # it may come, or be mended
                        for name, news in await to_thread.run_sync(self._lookout.look):
                            self._tell(name, news)
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                # A thread may be looking still.
                await to_thread.run_sync(self._lookout.close)

    def _tell(self, name: str, news: msgspec.Struct) -> None:
        event = b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(news))
        if name != "edit":
            self._latest[name] = event
        self._clients = {each for each in self._clients if each.tell(event)}


class _Stream(StreamingResponse):
    def __init__(self, feed: Feed, client: Client) -> None:
        # nginx is not to collect it.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(client.events(), headers=headers, media_type="text/event-stream")
        self._feed = feed
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave(self._client)


async def events(request: Request) -> Response:
    """Send events for as long as the client stays."""
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    feed: Feed = request.app.state.feed
    client = feed.join()
    if client is None:
        raise HTTPException(503, "too many pages are open", {"Retry-After": "30"})
    return _Stream(feed, client)


ROUTES = [Route("/api/v1/events", events)]
