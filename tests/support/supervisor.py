"""systemd's side of its protocols, on sockets of the test's own."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.support.clock import bound

TIMEOUT_SECONDS = 120.0


class Supervisor:
    """Receives what a daemon tells systemd (sd_notify(3)). Use it as a context manager.

    Attributes:
        messages: Everything received, with the moment (monotonic seconds).
    """

    def __init__(self, directory: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = directory / "notify"
        self._socket.bind(os.fspath(path))
        self.messages: list[tuple[float, str]] = []
        self._path = os.fspath(path)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a daemon that is to tell this one."""
        return self.waiting(2.0)

    def waiting(self, seconds: float) -> dict[str, str]:
        """The same, but its pings may be so far apart."""
        return {"NOTIFY_SOCKET": self._path, "WATCHDOG_USEC": str(round(seconds * 1e6))}

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def receive(self, seconds: float) -> str | None:
        """The next message; None if there is none for so long."""
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(65536).decode()
        except TimeoutError:
            return None
        self.messages.append((time.monotonic(), message))
        return message

    def wait_for(self, pattern: str, meanwhile: Callable[[], object] = lambda: None) -> str:
        """Wait for a message with a line that a pattern matches; returns the message."""
        deadline = time.monotonic() + bound(TIMEOUT_SECONDS)
        while time.monotonic() < deadline:
            message = self.receive(0.2)
            if message is not None and re.search(pattern, message, re.MULTILINE):
                return message
            meanwhile()
        raise AssertionError(f"no {pattern}; the last were {self.messages[-10:]}")

    def drain(self, seconds: float) -> list[str]:
        """What comes in so long a time."""
        before, end = len(self.messages), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.receive(left)
        return [message for _, message in self.messages[before:]]

    def longest_pause(self, since: float) -> float:
        """The longest time without a ping since a moment."""
        moments = [moment for moment, message in self.messages if "WATCHDOG=1" in message]
        moments = [since, *(moment for moment in moments if moment >= since), time.monotonic()]
        return max(b - a for a, b in pairwise(moments))


class Journal:
    """Receives what a daemon logs to systemd's journal. Use it as a context manager.

    The format is that of https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "systemd" / "journal" / "socket"
        path.parent.mkdir(parents=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # By a short name: that of a temporary directory may be longer than a socket's may be.
        parent = os.open(path.parent, os.O_PATH)
        try:
            self._socket.bind(f"/proc/self/fd/{parent}/{path.name}")
        finally:
            os.close(parent)
        self._socket.settimeout(bound(TIMEOUT_SECONDS))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, field: str) -> dict[str, bytes]:
        """Wait for an entry that has a field."""
        while field not in (entry := parse_entry(self._socket.recv(65536))):
            pass
        return entry


def parse_entry(content: bytes) -> dict[str, bytes]:
    """The fields of an entry."""
    fields = {}
    while content:
        line, _, content = content.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            size = int.from_bytes(content[:8], "little")
            value, content = content[8 : 8 + size], content[8 + size + 1 :]
        fields[name.decode()] = value
    return fields
