"""Connections of HTTP that no client can hold for long without doing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from photoramd.net.listener import MOST_CONNECTIONS

REQUEST_SECONDS = 10.0
"""How long a request may take to arrive; its body has as long again."""

STALL_SECONDS = 60.0
"""How long a client may take none of an answer."""


class BoundedProtocol(H11Protocol):
    """One connection. Uvicorn itself only ends those that wait between two requests.

    Attributes:
        request_seconds: How long the head of a request may take to arrive.
        body_seconds: How long its body may take then.
        stall_seconds: How long a client may take none of an answer.
        most_connections: How many there may be at a time.
        headers_of_refusals: What those have have, besides what HTTP wants.
    """

    request_seconds = REQUEST_SECONDS
    body_seconds = REQUEST_SECONDS
    stall_seconds = STALL_SECONDS
    most_connections = MOST_CONNECTIONS
    headers_of_refusals: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._arriving: asyncio.TimerHandle | None = None
        self._arrives_body = False
        self._stalling: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        # What asyncio holds back untold it would wait for without limit when it is to close. One
        # byte, not none: for TLS nothing unsent would then count as too much. It may pause at
        # once, since TLS has something to send by itself.
        transport.set_write_buffer_limits(high=1)
        if len(self.connections) > self.most_connections:
            self._refuse(503, "too many connections")
        else:
            self._watch_arrival()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if not self.transport.is_closing():
            super().data_received(data)
            self._watch_arrival()

    def on_response_complete(self) -> None:
        """Note that a request was answered, perhaps before all of it came."""
        super().on_response_complete()
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._cancel_arrival()
        self._cancel_stall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client takes nothing for now."""
        super().pause_writing()
        self._stalling = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it takes something again."""
        self._cancel_stall()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request of HTTP."""
        self._refuse(400, msg)

    def _watch_arrival(self) -> None:
        """Let the present request arrive in time; between requests uvicorn's own limit holds."""
        waits = self.timeout_keep_alive_task is not None
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY) or waits:
            self._cancel_arrival()
            return
        is_body = self.conn.their_state is h11.SEND_BODY
        if is_body is not self._arrives_body:
            self._cancel_arrival()
        if self._arriving is None and not self.transport.is_closing():
            self._arrives_body = is_body
            seconds = self.body_seconds if is_body else self.request_seconds
            self._arriving = self.loop.call_later(seconds, self._on_slow_request)

    def _on_slow_request(self) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(408, "the request took too long to arrive")
        else:
            self.transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        """Answer without the application, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body, reason = text.encode(), HTTPStatus(status).phrase.encode()
        headers = [(name.lower(), value) for name, value in self.headers_of_refusals.items()]
        headers += [("content-type", "text/plain"), ("content-length", str(len(body)))]
        headers.append(("connection", "close"))
        try:
            for event in (
                h11.Response(status_code=status, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer has begun
            self.transport.abort()
        self.transport.close()

    def _cancel_arrival(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _cancel_stall(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
