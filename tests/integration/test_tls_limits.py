"""A server with TLS, and clients that connect and say nothing."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from photoramd.net.listener import MOST_SOCKETS
from tests.support.certificates import Authority
from tests.support.daemons import wait_for

SERVER = """
import ssl, sys
from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import Server, bounded
from photoramd.net.sockets import listening

tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1])

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})

with listening("127.0.0.1:0", "listen") as sockets:
    config = bounded(app, BoundedProtocol, lifespan="off")
    config.ssl_context_factory = lambda _config, _default: tls
    ready = lambda: print(sockets[0].getsockname()[1], flush=True)
    Server(config, ready, lambda: None).run(sockets)
"""

MANY = MOST_SOCKETS + 200
"""Clients; a process may have 1,024 files open where nobody has allowed it more."""


class Running:
    """The server, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], trust: ssl.SSLContext) -> None:
        assert process.stdout is not None
        self.process = process
        self._trust = trust
        self._address = ("127.0.0.1", int(process.stdout.readline()))

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=60)

    def answers(self) -> bool:
        with (
            suppress(OSError),
            self.connect() as plain,
            self._trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/1.1 204 ")
        return False

    @property
    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    authority = Authority(tmp_path)
    authority.server("127.0.0.1")
    command = [sys.executable, "-c", SERVER, str(tmp_path / "server.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            trust = ssl.create_default_context(cafile=authority.ca_file)
            yield Running(process, trust)
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_clients_that_say_nothing_are_bounded_before_tls(server: Running) -> None:
    assert server.answers()
    before = server.files
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(server.connect())) for _ in range(MANY)]
        for each in clients:
            each.setblocking(False)

        def all_others_are_dropped() -> bool:
            assert server.files <= before + MOST_SOCKETS + 1
            return sum(map(is_closed, clients)) >= MANY - MOST_SOCKETS

        wait_for(all_others_are_dropped)
    wait_for(server.answers)


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
