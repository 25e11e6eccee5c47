"""A connection of plain HTTP, over a pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from uvicorn.server import ServerState

from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import bounded
from tests.support import loops

LARGE = 60_000
"""More than the sockets hold, and less than asyncio's own limit of what is unsent."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def large(scope: object, receive: object, send: Send) -> None:
    headers = [(b"content-length", b"%d" % LARGE), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(LARGE)})


class Connection(BoundedProtocol):
    """One that tells when it is lost."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


async def connected(stall_seconds: float) -> tuple[Connection, socket.socket]:
    """Ask for something large."""
    config = bounded(large, Connection, lifespan="off")
    config.load()
    ours, client = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for each in (ours, client):
        each.setblocking(False)

    def protocol() -> Connection:
        made = Connection(config, ServerState(), {})
        made.stall_seconds = stall_seconds
        return made

    _, found = await asyncio.get_running_loop().connect_accepted_socket(protocol, ours)
    return found, client


async def received(connection: Connection, client: socket.socket, size: int) -> bytes:
    """Read until the end, so much at a time."""
    answer = b""
    while piece := await connection.loop.sock_recv(client, size):
        answer += piece
    return answer


def test_a_client_that_reads_nothing_is_let_go_however_little_is_left() -> None:
    async def run() -> bytes:
        connection, client = await connected(0.0)
        with client:
            await asyncio.wait_for(connection.lost.wait(), 10)
            return await received(connection, client, LARGE)

    assert 0 < len(loops.run(run)) < LARGE


@pytest.mark.parametrize("size", [1000, LARGE])
def test_one_that_reads_gets_everything(size: int) -> None:
    async def run() -> bytes:
        connection, client = await connected(60.0)
        with client:
            answer = await received(connection, client, size)
        await asyncio.wait_for(connection.lost.wait(), 10)
        return answer

    head, _, body = loops.run(run).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == bytes(LARGE)
