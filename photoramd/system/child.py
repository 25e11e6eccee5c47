"""Child processes: tie them to this one, limit them, and end them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress


def tethered(command: Sequence[str]) -> list[str]:
    """Return a command whose process the kernel kills when this process ends.

    It needs setpriv of util-linux; without it, a SIGKILL leaves the child behind.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return [*command]
    # If this process was killed before setpriv took effect, it is no longer the parent: see
    # prctl(2).
    is_parent = 'test "$PPID" = "$0" && exec "$@"'
    tether = [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", is_parent, str(os.getpid())]
    return [*tether, *command]


def limit_memory(process: int, memory_bytes: int) -> None:
    """Limit the address space of a running child, and let it leave no core file.

    A child that has already ended is not an error: its user finds out.
    """
    with suppress(OSError):
        resource.prlimit(process, resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.prlimit(process, resource.RLIMIT_CORE, (0, 0))


def end(process: subprocess.Popen[bytes], timeout_seconds: float | None = None) -> bool:
    """Kill a child, close its pipes and reap it.

    Args:
        process: The child, running or not.
        timeout_seconds: How long to wait for its end; None waits as long as it takes.

    Returns:
        Whether it has ended; a process in the hands of a failing disk may take longer.
    """
    with suppress(OSError):
        process.kill()
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
    return True
