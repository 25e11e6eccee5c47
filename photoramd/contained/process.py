"""Start the server of workers, and talk to one worker: the parent's side of `server`."""

from __future__ import annotations

import atexit
import json
import os
import pickle  # from the parent to a worker only  # nosec B403
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from photoramd.contained.frames import FORK, NUMBER, WAIT, ClosedError, Kind, receive, send
from photoramd.contained.messages import decode
from photoramd.system import child
from photoramd.system.sandbox import Sandbox

_LOOK_SECONDS = 0.25
"""How often to look for a stop while waiting."""

_SEND_SECONDS = 30.0
"""How long a worker may take no byte of its task."""

_START_SECONDS = 60.0
"""How long the server may take to import what workers need, from a slow disk."""

_CHAT_BYTES = 1 << 16


class Server:
    """The process that forks workers; used from any thread.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            ours.settimeout(_START_SECONDS)
            self._control = ours
            try:
                self._process = child.start_module(
                    "photoramd.contained.server",
                    theirs.fileno(),
                    # A process with threads must not fork.
                    environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                )
            except OSError:
                ours.close()
                raise

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fork(self, modules: Sequence[str], files: Sequence[int]) -> int:
        """Start a worker; return its process id.

        Args:
            modules: What it needs besides what every worker imports.
            files: Its connection, and its standard error.

        Raises:
            OSError: The server has ended, or does not answer.
        """
        return self._ask(FORK, json.dumps(list(modules)).encode(), files)

    def wait(self, worker: int) -> int:
        """Wait for the end of a worker; return its exit code, or a signal's as its negative.

        Raises:
            OSError: The server has ended, or does not answer.
        """
        return self._ask(WAIT, NUMBER.pack(worker), ())

    def close(self) -> None:
        """End it, and with it all workers."""
        self._control.close()
        child.end(self._process)

    def _ask(self, kind: int, body: bytes, files: Sequence[int]) -> int:
        with self._lock:
            try:
                send(self._control, kind, body, files)
                _, answer, _ = receive(self._control)
            except ClosedError as error:
                raise ConnectionError("the server of workers has ended") from error
        return int(NUMBER.unpack(answer)[0])


# One for the process, as all its workers share its memory.
_server: Server | None = None
_living: set[int] = set()
_starting = threading.Lock()


def server() -> Server:
    """Return this process's server of workers, started if it does not run.

    Raises:
        OSError: It cannot be started.
    """
    global _server
    with _starting:
        if _server is None or not _server.is_alive:
            if _server is None:
                atexit.register(_close)
            else:
                _server.close()
            _server = Server()
        return _server


def rest() -> None:
    """End the server of workers if it has none; the next worker starts another."""
    global _server
    with _starting:
        if _server is not None and not _living:
            atexit.unregister(_close)
            _server.close()
            _server = None


def _close() -> None:
    if _server is not None:
        _server.close()


class LateError(Exception):
    """The worker did not answer in time."""


class Worker:
    """One worker, for one thread at a time.

    Args:
        modules: What it needs besides what every worker imports.

    Raises:
        OSError: It cannot be started.
        ClosedError: It ended at once.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._server = server()
        self.modules = frozenset(modules)
        self._end: tuple[int, str] | None = None
        self.tasks = 0
        self._connection, theirs = socket.socketpair()
        self._chat, errors = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            with theirs:
                self.pid = self._server.fork(modules, [theirs.fileno(), errors])
        except OSError:
            self._connection.close()
            os.close(self._chat)
            raise
        finally:
            os.close(errors)
        self._connection.settimeout(_SEND_SECONDS)
        self._poll = select.poll()
        self._poll.register(self._connection, select.POLLIN)
        try:
            _, body, _ = receive(self._connection)
            self.sandbox = decode(body, Sandbox)
            _living.add(self.pid)
        except (ClosedError, TimeoutError, ValueError) as error:
            self.end()
            raise ClosedError from error

    @property
    def resident_bytes(self) -> int:
        """How much memory it takes now: see proc_pid_statm(5)."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def begin(self, name: str, arguments: Sequence[object], files: dict[str, int]) -> None:
        """Send a task, and wait until the worker has begun with it.

        Raises:
            ClosedError: It has ended, and the task is not to blame.
        """
        self.tasks += 1
        body = pickle.dumps((name, tuple(arguments), tuple(files)))
        try:
            send(self._connection, Kind.TASK, body, list(files.values()))
            kind, _, _ = receive(self._connection)
        except TimeoutError as error:
            raise ClosedError from error
        if kind != Kind.TAKEN:
            raise ClosedError

    def receive(self, until: Callable[[], float]) -> tuple[int, bytearray]:
        """Wait for a message of the worker; return its kind and its body.

        Args:
            until: Returns how many seconds remain.

        Raises:
            LateError: There is none in time.
            ClosedError: The worker has ended.
            ValueError: It is too long.
        """

        def wait() -> None:
            while True:
                left = until()
                if left <= 0:
                    raise LateError
                if self._poll.poll(1000 * min(left, _LOOK_SECONDS)):
                    return

        kind, body, files = receive(self._connection, wait)
        for each in files:
            os.close(each)  # nothing that a worker has to give
        return kind, body

    def reply(self, answer: object) -> None:
        """Answer a question.

        Raises:
            ClosedError: The worker has ended.
        """
        try:
            send(self._connection, Kind.REPLY, pickle.dumps(answer))
        except TimeoutError as error:
            raise ClosedError from error

    def end(self) -> tuple[int, str]:
        """Kill it, unless it has ended.

        Returns:
            Its exit code, or the signal that had ended it as its negative; and the last that it
            wrote to its standard error, such as where it crashed.
        """
        if self._end is None:
            self._end = self._killed()
        return self._end

    def _killed(self) -> tuple[int, str]:
        with suppress(OSError):
            # Nobody else has the number while the server has not waited for it.
            os.kill(self.pid, signal.SIGKILL)
        try:
            code = self._server.wait(self.pid)
        except OSError:
            code = -signal.SIGKILL
        said = ""
        with suppress(OSError):
            said = os.read(self._chat, _CHAT_BYTES).decode("utf-8", "replace").strip()
        self._connection.close()
        os.close(self._chat)
        _living.discard(self.pid)
        return code, said
