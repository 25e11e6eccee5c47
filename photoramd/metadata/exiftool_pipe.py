"""The pipe to one resident ExifTool: its start, its limits, and the protocol.

The channel of arguments is line based, so a line break in an argument would be an option of its
own; such arguments are refused. The oldest version is the first that writes HEIC and AVIF safely;
versions 12.82 to 13.53 can be made to run code by the metadata of a photo.
"""

from __future__ import annotations

import errno
import math
import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from photoramd.errors import StoppedError, ToolError
from photoramd.system import child as children

OLDEST = (12, 38)
REFUSED = ((12, 82), (13, 53))
"""First and last of the versions with a code injection."""

TIMEOUT_SECONDS = 30.0
"""The limit for one command; a photo of 100 MB takes two seconds."""

MEMORY_BYTES = 2 << 30
"""Address space of the child; 100 MB photos need a third of it."""

STOP_SECONDS = 2.0

_LOOK_SECONDS = 0.25
"""How often to look for a stop while waiting."""

_MAX_ANSWER_BYTES = 64 << 20
_BROKEN = (
    "see what exiftool -ver says; install it again (apt-get install --reinstall"
    ' libimage-exiftool-perl), or set write = "sidecar"'
)


class LateError(Exception):
    """The child did not answer in time, and was ended."""


class EndedError(Exception):
    """The child ended before it had answered."""


class ExifToolPipe:
    """One child, started when it is first needed. For one thread.

    Args:
        program: The program.
        timeout_seconds: For one command.
        memory_bytes: The limit of the child's address space.
    """

    def __init__(self, program: str, timeout_seconds: float, memory_bytes: int) -> None:
        self._program = program
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._version = ""
        self.serial = 0
        self.is_wanted: Callable[[], bool] = lambda: True
        """Asked several times a second while it works; once it returns False, a command has
        `STOP_SECONDS` left."""

    @property
    def process(self) -> int | None:
        """The child's process id, if it runs."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the child, giving it two seconds to do so itself."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.write(b"-stay_open\nFalse\n")
                self._child.stdin.flush()
                self._child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(2)
        self._kill()

    def start(self) -> str:
        """Start the child if it does not run; return its version.

        Raises:
            ToolError: It is missing, too old, or one of those that must not be used.
        """
        if self._child is not None and self._child.poll() is None:
            return self._version
        self._kill()
        # The first option, and empty: options are read from no file.
        command = [self._program, "-config", "", "-stay_open", "True", "-@", "-"]
        try:
            # Behind setpriv, a missing program would look like one that failed.
            if shutil.which(self._program) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            self._child = children.start(
                children.tethered(command), stdin="pipe", environment={"LC_ALL": "C"}
            )
        except OSError as error:
            raise ToolError(
                f"ExifTool cannot be started: {error.strerror}",
                remedy="install it (apt-get install libimage-exiftool-perl), or set"
                ' write = "sidecar"',
            ) from error
        children.limit_memory(self._child.pid, self._memory_bytes)
        try:
            answer, _ = self.execute(["-ver"])
        except (EndedError, LateError) as error:
            raise ToolError(str(error), remedy=_BROKEN) from error
        self._version = answer.decode("ascii", "replace").strip()
        try:
            require_version(self._version)
        except ToolError:
            self._kill()
            raise
        return self._version

    def execute(self, arguments: Sequence[str]) -> tuple[bytes, str]:
        """Run one command; return what it wrote to standard output and standard error.

        Args:
            arguments: Without line breaks.

        Raises:
            LateError: It took too long.
            EndedError: It died.
            StoppedError: It was no longer wanted.
            ValueError: An argument has a line break.
        """
        child = self._child
        assert child is not None  # noqa: S101
        assert child.stdin is not None  # noqa: S101
        self.serial += 1
        # The number tells this answer from a late end of an earlier one.
        marks = (f"{{ready{self.serial}}}\n".encode(), f"{{done{self.serial}}}\n".encode())
        lines = [*arguments, "-echo4", f"{{done{self.serial}}}", f"-execute{self.serial}"]
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError(f"an argument of several lines: {lines}")
        try:
            child.stdin.write("".join(f"{line}\n" for line in lines).encode())
            child.stdin.flush()
            answer, errors = self._answers(child, marks)
        except StoppedError:
            self._kill()
            raise
        except TimeoutError as error:  # an OSError, too, so it comes first
            self._kill()
            raise LateError(
                f"ExifTool took longer than {self._timeout_seconds:g} seconds"
            ) from error
        except (OSError, EOFError) as error:
            self._kill()
            raise EndedError("ExifTool ended unexpectedly") from error
        return answer, errors.decode("utf-8", "replace")

    def _answers(
        self, child: subprocess.Popen[bytes], marks: tuple[bytes, bytes]
    ) -> tuple[bytes, bytes]:
        """Read both streams up to their marks; one that is not read would fill up and block."""
        deadline, stop_by = time.monotonic() + self._timeout_seconds, math.inf
        answers = [bytearray(), bytearray()]
        with selectors.DefaultSelector() as selector:
            for number, stream in enumerate((child.stdout, child.stderr)):
                assert stream is not None  # noqa: S101
                selector.register(stream.fileno(), selectors.EVENT_READ, number)
            while selector.get_map():
                now = time.monotonic()
                if now >= min(deadline, stop_by):
                    raise (
                        StoppedError("photoramd is stopping")
                        if stop_by < deadline
                        else TimeoutError
                    )
                events = selector.select(_LOOK_SECONDS)
                if not events and stop_by == math.inf and not self.is_wanted():
                    stop_by = now + STOP_SECONDS
                for key, _ in events:
                    chunk = os.read(key.fd, 1 << 16)
                    buffer = answers[key.data]
                    buffer += chunk
                    if not chunk or len(buffer) > _MAX_ANSWER_BYTES:
                        raise EOFError
                    if buffer.endswith(marks[key.data]):
                        selector.unregister(key.fd)
        return (
            bytes(answers[0].removesuffix(marks[0])),
            bytes(answers[1].removesuffix(marks[1])),
        )

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        children.end(child)


def require_version(version: str) -> None:
    """Refuse a version of ExifTool that is too old or unsafe.

    Raises:
        ToolError: With what to install instead.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number < OLDEST or REFUSED[0] <= number <= REFUSED[1]:
        why = "is too old" if number < OLDEST else "can be made to run code by a photo"
        raise ToolError(
            f"ExifTool {version} {why}",
            remedy="install 13.54 or newer, or one from 12.38 to 12.81; or set"
            ' write = "sidecar", which needs no ExifTool',
        )
