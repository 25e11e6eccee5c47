"""Send and receive messages with open files over a local socket.

A message is a kind, of one byte, and a body: `struct` ``!BQ`` and as many bytes as it says.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum

_HEAD = struct.Struct("!BQ")
_MOST_FILES = 8
_CHUNK_BYTES = 1 << 20

MOST_BYTES = 600 << 20
"""The limit of a body: a photo that is written in place has 256 MiB at most."""


class Kind(IntEnum):
    """What a message is."""

    TASK = 1
    """From the parent: a pickle of the task's name, its arguments, and the paths of its files."""
    REPLY = 2
    """From the parent: a pickle of the answer to a question, or of a `messages.Failure`."""
    TAKEN = 3
    """From the worker: it has begun with the task."""
    QUESTION = 4
    """From the worker, as are those that follow, in msgpack: what it must know or have done."""
    RESULT = 5
    FAILURE = 6


FORK, WAIT = 16, 17
"""Requests to the server of workers: a list of modules to import in JSON, with the worker's
connection and its standard error as files; and a process id. The answers are a process id, and an
exit code as `subprocess` has it."""

NUMBER = struct.Struct("!q")
"""A number in those."""


class ClosedError(Exception):
    """The other side has ended."""


def send(
    connection: socket.socket, kind: int, body: bytes | bytearray = b"", files: Sequence[int] = ()
) -> None:
    """Send a message.

    Raises:
        ClosedError: Nobody receives it.
        TimeoutError: The other side takes nothing, for as long as the socket's time limit.
    """
    head = _HEAD.pack(kind, len(body))
    try:
        if files:
            socket.send_fds(connection, [head], files)
        else:
            connection.sendall(head)
        connection.sendall(body)
    except TimeoutError:
        raise
    except OSError as error:
        raise ClosedError from error


def receive(
    connection: socket.socket, wait: Callable[[], object] = lambda: None
) -> tuple[int, bytearray, list[int]]:
    """Receive a message: its kind, its body and its open files, which the caller closes.

    Args:
        connection: Where from.
        wait: Called before each part is read; it returns when there is something, or raises.

    Raises:
        ClosedError: The other side has ended.
        ValueError: The message is too long.
    """
    files: list[int] = []
    try:
        wait()
        head, files, _, _ = socket.recv_fds(
            connection, _HEAD.size, _MOST_FILES, socket.MSG_CMSG_CLOEXEC
        )
        start = bytearray(head)
        while start and len(start) < _HEAD.size:
            wait()
            start += _some(connection, _HEAD.size - len(start))
        if not start:
            raise ClosedError
        kind, length = _HEAD.unpack(start)
        if length > MOST_BYTES:
            raise ValueError(f"a message of {length:,} bytes")
        body = bytearray()
        while len(body) < length:
            wait()
            body += _some(connection, min(_CHUNK_BYTES, length - len(body)))
    except BaseException as error:
        for each in files:
            os.close(each)
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise ClosedError from error
        raise
    return kind, body, files


def _some(connection: socket.socket, most: int) -> bytes:
    """Read some bytes, at least one."""
    found = connection.recv(most)
    if not found:
        raise ClosedError
    return found
