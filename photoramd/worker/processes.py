"""The processes that this one has started, and what those have started: see proc(5)."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of what descendants leave behind, so that it can be found and ended."""
    # It cannot fail: Linux has it since 3.4.
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> dict[str, int]:
    """Return the processes that this one has started: their numbers by their names."""
    found = {}
    for number, (parent, name) in _processes().items():
        if parent == os.getpid():
            found[name] = number
    return found


def is_running(number: int) -> bool:
    """Return whether a child runs; one that has ended and was not waited for does not."""
    try:
        return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def end_descendants(seconds: float) -> None:
    """Kill all descendants, and wait for them at most so long."""
    until = time.monotonic() + seconds
    while (found := _descendants()) and time.monotonic() < until:
        for number in found:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _descendants() -> set[int]:
    parents = {number: parent for number, (parent, _) in _processes().items()}
    found: set[int] = {os.getpid()}
    while more := {n for n, parent in parents.items() if parent in found and n not in found}:
        found |= more
    return found - {os.getpid()}


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the name of each process."""
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with suppress(OSError):
                text = (directory / "stat").read_text(encoding="utf-8", errors="replace")
                # The name is in parentheses, and may have some itself.
                begin, end = text.index("("), text.rindex(")")
                parent = int(text[end + 1 :].split()[1])
                found[int(directory.name)] = (parent, text[begin + 1 : end])
    return found
