"""A connection of HTTP, over a pair of sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from uvicorn.server import ServerState

from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import bounded
from tests.support import loops
from tests.support.certificates import Authority

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


def pair() -> tuple[socket.socket, socket.socket]:
    """Our end, which holds little, and a client's."""
    ours, client = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, client


async def serve(
    ours: socket.socket, stall_seconds: float, tls: ssl.SSLContext | None = None
) -> Connection:
    config = bounded(large, Connection, lifespan="off")
    config.load()

    def protocol() -> Connection:
        made = Connection(config, ServerState(), {})
        made.stall_seconds = stall_seconds
        return made

    loop = asyncio.get_running_loop()
    _, connection = await loop.connect_accepted_socket(protocol, ours, ssl=tls)
    return connection


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_client_that_reads_nothing_is_let_go_however_little_is_left() -> None:
    async def run() -> int:
        ours, client = pair()
        with client:
            client.sendall(REQUEST)
            connection = await serve(ours, 0.0)
            await asyncio.wait_for(connection.lost.wait(), 10)
            return len(client.recv(2 * LARGE))

    assert 0 < loops.run(run) < LARGE


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("is_secure", [False, True])
def test_one_that_reads_gets_everything(
    size: int, is_secure: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls = trust = None
    if is_secure:
        authority = Authority(tmp_path)
        tls = authority.server("localhost")
        trust = ssl.create_default_context(cafile=authority.ca_file)
    name = "localhost" if is_secure else None

    async def run() -> bytes:
        ours, client = pair()
        connection, (reader, writer) = await asyncio.gather(
            serve(ours, 60.0, tls),
            asyncio.open_connection(sock=client, ssl=trust, server_hostname=name, limit=size),
        )
        writer.write(REQUEST)
        answer = b""
        while piece := await reader.read(size):
            answer += piece
        writer.close()
        await asyncio.wait_for(connection.lost.wait(), 10)
        return answer

    head, _, body = loops.run(run).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == bytes(LARGE)
    assert not caplog.records, "asyncio only logs what fails in a protocol"
