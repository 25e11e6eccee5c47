"""The limit of clients, before anything of TLS or HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from photoramd.net.listener import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.most = 2
        yield made


def client(listener: Listener) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout=60)


def test_clients_beyond_the_limit_are_dropped_until_others_have_gone(listener: Listener) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(closing(client(listener)))
        accepted, address = listener.accept()
        assert address == first.getsockname()
        stack.enter_context(closing(client(listener)))
        stack.enter_context(listener.accept()[0])
        for _ in range(2):
            with closing(client(listener)) as dropped:
                with pytest.raises(ConnectionAbortedError):
                    listener.accept()
                assert dropped.recv(1) == b""
        accepted.close()
        stack.enter_context(closing(client(listener)))
        stack.enter_context(listener.accept()[0])


def test_without_clients_it_says_so(listener: Listener) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
