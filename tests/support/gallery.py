"""The gallery as its users start it: a process of its own, asked over sockets."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.clock import bound
from tests.support.daemons import TIMEOUT_SECONDS, Photoramd


class Gallery:
    """``photoramd serve`` with one configuration: a context manager.

    Attributes:
        address: Where it is, such as ``http://127.0.0.1:1234/``, or ``unix:`` and a path.
        log: What it has written to standard error.
        process: It.
    """

    def __init__(
        self,
        photoramd: Photoramd,
        *options: object,
        listen: str | None = "127.0.0.1:0",
        environment: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        where = [] if listen is None else ["--listen", listen]
        self._log = photoramd.log.with_name("gallery.log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *photoramd.command("serve", *where, *options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=pass_fds,
                env={**os.environ, "PYTHONUNBUFFERED": "", **(environment or {})},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"The gallery is at (\S+)\n", line)
        self.address = found[1] if found else ""
        if not found:
            self.__exit__(None, None, None)
        assert found, f"{line!r}, {self.log}"

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    def stop(self) -> int:
        """Stop it as systemd does; returns its exit status."""
        self.process.terminate()
        return self.process.wait(bound(TIMEOUT_SECONDS))

    def client(self, **options: Any) -> httpx2.Client:
        """A client that is not led astray by the machine's proxies."""
        options.setdefault("timeout", bound(TIMEOUT_SECONDS))
        return httpx2.Client(base_url=self.address, trust_env=False, **options)

    def connect(self) -> socket.socket:
        """A connection to write bytes to."""
        return socket.create_connection(("127.0.0.1", self.port), bound(TIMEOUT_SECONDS))

    def exchange(self, request: bytes) -> bytes:
        """Send bytes and return all that is answered until the server closes."""
        with closing(self.connect()) as connection:
            connection.sendall(request)
            return read_all(connection)

    def get(self, path: str, *headers: str) -> bytes:
        """The answer to a request, of exactly this path."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers]
        return self.exchange("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))


class Events:
    """Server-sent events of a gallery, read as they come."""

    def __init__(self, gallery: Gallery, *headers: str) -> None:
        self.connection = gallery.connect()
        lines = ["GET /api/v1/events HTTP/1.1", f"Host: 127.0.0.1:{gallery.port}", *headers]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode())
        self._received = b""
        self.status = int(self._line().split()[1])
        while self._line():
            pass

    def close(self) -> None:
        self.connection.close()

    def until(self, name: str, **wanted: object) -> dict[str, Any]:
        """The data of the next event of a name in which these values are."""
        event = ""
        while True:
            line = self._line().decode()
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event == name:
                data: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if wanted.items() <= data.items():
                    return data

    def ends(self) -> bool:
        """Whether the server has closed the connection, after what it had still to say."""
        try:
            while self.connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            received = self.connection.recv(65536)
            assert received, "the server has closed the connection"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.rstrip(b"\r")


def read_all(connection: socket.socket) -> bytes:
    """What the other side sends until it closes."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


def seconds_of(action: Any) -> float:
    """How long something takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def new_token(photoramd: Photoramd, path: Path) -> str:
    """A token, made as users make it."""
    done = photoramd.run("serve", "--new-token", path)
    assert done.returncode == 0, done.stderr
    return path.read_text().strip()
