"""Start the processes that read photos from one that has imported what they need.

A driver starts hundreds, each in a process that it forks, and each would import for a third of a
second. What they do and what confines them is `photoramd.contained`'s, as ever.

    python -m tests.system.warm_workers DESCRIPTOR

For each descriptor that comes over the connection of that number it forks a
`photoramd.contained.server`. `prepare` starts it, and lets it be used from then on.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, cast

from photoramd.contained import server
from photoramd.system import child


class Forked:
    """A server: what `photoramd.contained.process` wants of it.

    Args:
        lifeline: Reaches its end when the server does; its first bytes are the server's id.
    """

    stdin = stdout = stderr = None

    def __init__(self, lifeline: socket.socket) -> None:
        self._lifeline = lifeline
        self._owner = os.getpid()
        self.pid = int.from_bytes(lifeline.recv(4))
        lifeline.setblocking(False)

    def poll(self) -> int | None:
        if self._owner != os.getpid():
            return 0  # a fork starts its own
        try:
            return 0 if self._lifeline.recv(1) == b"" else None
        except BlockingIOError:
            return None

    def kill(self) -> None:
        if self._owner == os.getpid() and self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self._owner == os.getpid():
            self._lifeline.settimeout(timeout)
            self._lifeline.recv(1)
        self._lifeline.close()
        return 0


def prepare() -> None:
    """Have servers forked from now on, in this process and in those that it forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    start_module = child.start_module
    start_module(
        "tests.system.warm_workers",
        theirs.fileno(),
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    theirs.close()

    def start(
        name: str, descriptor: int, *arguments: str, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        if name != "photoramd.contained.server":
            return start_module(name, descriptor, *arguments, environment=environment)
        lifeline, other = socket.socketpair()
        with other:
            socket.send_fds(ours, [b"\0"], [descriptor, other.fileno()])
        return cast(Any, Forked(lifeline))

    child.start_module = start


def main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    while True:
        _, files, _, _ = socket.recv_fds(asked, 1, 2)
        if not files:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked.close()
            os.setsid()
            descriptor, lifeline = files
            os.write(lifeline, os.getpid().to_bytes(4))
            sys.argv = ["server", str(descriptor)]
            server.main()
            os._exit(0)
        for each in files:
            os.close(each)


if __name__ == "__main__":
    main()
