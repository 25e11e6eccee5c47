"""Programs beside a test or a script, and ports for them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program in a session of its own for the duration of a block."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# Below the range from which Linux gives ports to whoever asks for any (ip_local_port_range),
# and above the one that Ray takes: none of these becomes another program's by chance.
_PORTS = range(20_000, 32_768)
_given: set[int] = set()
_random = random.SystemRandom()  # Hypothesis seeds the other one, alike in all processes


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody is given by chance."""
    while True:
        port = _random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port


@contextmanager
def refusing() -> Iterator[str]:
    """An address of 127.0.0.1 that refuses connections: bound, so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
