"""A worker as its users start it: a process of its own, with Ray, that is asked over HTTP."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import msgspec
import numpy as np

from benchmarks.processes import processor_seconds
from photoramd.models import registry
from photoramd.models.description import Description
from photoramd.models.preprocessing import Pixels, digest_of
from photoramd.models.remote.protocol import (
    MEDIA_TYPE,
    SCORES_PATH,
    Identity,
    Problem,
    ScoresAnswer,
    ScoresRequest,
)
from tests.support.daemons import wait_for
from tests.support.programs import free_port

STOP_SECONDS = 15.0


def embedded() -> Description:
    return registry.describe("embedded", precision="auto", device="auto")


def request_of(pictures: Sequence[Pixels], identity: Identity) -> bytes:
    """The body of a request."""
    request = ScoresRequest(
        identity=identity,
        digests=[digest_of(each) for each in pictures],
        shape=list(pictures[0].shape),
        pixels=[each.data.cast("B") for each in pictures],
    )
    return msgspec.msgpack.encode(request)


def scores_of(answer: httpx2.Response, columns: int) -> np.ndarray[tuple[int, int], np.dtype]:
    decoded = msgspec.msgpack.decode(answer.content, type=ScoresAnswer)
    return np.frombuffer(decoded.scores, "<f4").reshape(-1, columns)


def problem_of(answer: httpx2.Response) -> Problem:
    return msgspec.msgpack.decode(answer.content, type=Problem)


class Worker:
    """``photoramd worker run``, from its start to its end. Use it as a context manager.

    Args:
        directory: Where its configuration, token and log are.
        options: Further options.
        model: The section [model] of its configuration.
        host: What it listens on.
        environment: Further variables.
    """

    def __init__(
        self,
        directory: Path,
        *options: object,
        model: str = 'name = "embedded"',
        host: str = "127.0.0.1",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = directory / "worker.log"
        self.token_file = directory / "token"
        self.port = free_port()
        config = directory / "config.toml"
        config.write_text(f"[[watch]]\npath = '{directory}'\n[model]\n{model}\n")
        if not self.token_file.exists():
            self.token_file.touch(0o600)
            self.token_file.write_text(os.urandom(16).hex())
        self.token = self.token_file.read_text()
        self.command = [
            *(sys.executable, "-m", "photoramd", "--config", config, "worker", "run"),
            *("--listen", f"{host}:{self.port}", "--token-file", self.token_file, *options),
        ]
        self._environment = os.environ | (environment or {})

    def run(self, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end, where it cannot start; in a directory, whose packages go first."""
        return subprocess.run(
            [*map(str, self.command)],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            cwd=directory,
            timeout=60,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*map(str, self.command)],
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        wait_for(lambda: self.process.poll() is not None or "Ready at" in self.text, "the worker")
        assert self.process.poll() is None, self.text

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def client(self, verify: ssl.SSLContext | bool = True, host: str = "127.0.0.1") -> Client:
        """Something to ask it with."""
        scheme = "http" if verify is True else "https"
        return Client(f"{scheme}://{host}:{self.port}", self.token, verify)

    def processes(self) -> dict[int, str]:
        """All processes that belong to it, by number, with their names."""
        found: dict[int, str] = {}
        for number, (parent, name) in sorted(processes()):
            if number == self.process.pid or parent in found:
                found[number] = name
        return found

    def wait_until_computing(self, number: int) -> None:
        """Wait until a process has computed for a while: it then is amid what it was asked for."""
        began = processor_seconds(number)
        wait_for(lambda: processor_seconds(number) > began + 0.5, "a process to compute")

    def process_of(self, name: str) -> int:
        """The number of the one process whose name begins so."""
        wait_for(lambda: any(each.startswith(name) for each in self.processes().values()), name)
        return next(n for n, each in self.processes().items() if each.startswith(name))


class Client:
    """A daemon's side, without any of its checks."""

    def __init__(self, url: str, token: str, verify: ssl.SSLContext | bool) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": MEDIA_TYPE}
        self.http = httpx2.Client(
            base_url=url, headers=headers, verify=verify, timeout=60, trust_env=False
        )

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(path)

    def post(self, body: bytes) -> httpx2.Response:
        return self.http.post(SCORES_PATH, content=body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


def processes() -> Iterator[tuple[int, tuple[int, str]]]:
    """All processes: number, parent, and the command line or the name."""
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            stat = (directory / "stat").read_text(errors="replace")
            line = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        title = line[0].decode(errors="replace") if line and line[0].startswith(b"ray::") else name
        yield int(directory.name), (int(stat[stat.rindex(")") + 1 :].split()[1]), title)
