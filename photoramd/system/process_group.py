"""Run somebody else's program: its input whole, its output bounded, and all it starts ended.

The program leads a process group of its own. When it ends, takes too long or is not wanted any
more, the group is killed: nothing that it has started gathers here. What leaves the group
(setsid) is left alone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import IO, BinaryIO

from photoramd.errors import StoppedError
from photoramd.system.child import Program

OUTPUT_BYTES = 4096
"""So much of what a program writes is kept; the rest is read and forgotten."""

_LOOK_SECONDS = 0.1
"""How often to look whether the program has ended, or is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a program.

    Attributes:
        code: Its exit code; the negative number of a signal that ended it.
        output: The beginning of what it wrote to standard output and standard error.
    """

    code: int
    output: bytes


def run(
    program: Program,
    given: bytes,
    *,
    timeout_seconds: float,
    is_wanted: Callable[[], bool],
) -> Finished:
    """Run a program to its end, in the root directory; it inherits no other descriptors.

    Args:
        program: What to run.
        given: Its standard input.
        timeout_seconds: How long it may take.
        is_wanted: Asked ten times a second whether to go on.

    Raises:
        OSError: It cannot be started.
        TimeoutError: It took too long, and was killed.
        StoppedError: It was not wanted any more, and was killed.
    """
    until = monotonic() + timeout_seconds
    with _file_of(given) as stdin:
        process = subprocess.Popen(
            program.command,
            executable=program.executable,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=program.environment,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101  # for the type checker
    output = _Output(process.stdout)
    try:
        while not _has_ended(process):
            if monotonic() >= until:
                raise TimeoutError(f"no end within {timeout_seconds:g} s")
            if not is_wanted():
                raise StoppedError("ended before it was done")
            output.read(_LOOK_SECONDS)
        # It may stay open: whoever the program has started can hold it.
        output.read(0)
    finally:
        # Before the process is reaped: afterwards its number might be another group's.
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return Finished(process.returncode, bytes(output.kept))


def _file_of(content: bytes) -> BinaryIO:
    """Return a file in memory, at its beginning: unlike a pipe it takes everything at once."""
    file = os.fdopen(os.memfd_create("input"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has ended, without reaping it."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


class _Output:
    """The beginning of what comes out of a pipe.

    Attributes:
        kept: The first `OUTPUT_BYTES`.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self.kept = bytearray()
        self._descriptor = pipe.fileno()
        self._is_open = True
        os.set_blocking(self._descriptor, False)

    def read(self, seconds: float) -> None:
        """Read what is there, or comes within some seconds."""
        if not self._is_open:
            sleep(seconds)
        elif select.select([self._descriptor], [], [], seconds)[0]:
            # As much as a pipe holds; who writes without end must not keep us here.
            piece = os.read(self._descriptor, 1 << 16)
            self._is_open = bool(piece)
            self.kept += piece[: OUTPUT_BYTES - len(self.kept)]
