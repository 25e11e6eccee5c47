"""Give up everything that a process which parses other people's files does not need."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.system import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_FIRST_TO_DIE = "1000"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What holds for a process that was confined, besides its limits.

    Attributes:
        landlock: The version of Landlock; 0 where the kernel, or the filter of a service, does not
            let it be used.
        has_filter: Whether system calls are filtered.
        is_sealed: Whether it was tried that no file can be opened.
    """

    landlock: int
    has_filter: bool
    is_sealed: bool


def confine(memory_bytes: int, parent: int) -> Sandbox:
    """Confine this process, for good; call it before anything of others' is read.

    It is killed with its parent, and the first to be killed for want of memory. It can write no
    file, leave no core, gain no rights and take no more address space than allowed. Where the
    system lets it, it can open no file and start no process: see `landlock` and `seccomp`.

    Args:
        memory_bytes: The limit of its address space.
        parent: Its parent's process id.

    Raises:
        OSError: One of the limits that every kernel knows cannot be set.
        ProcessLookupError: The parent has ended.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_DIE, encoding="ascii")
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    version, is_filtered = 0, False
    with suppress(OSError):
        version = landlock.restrict()
    with suppress(OSError):
        seccomp.install()
        is_filtered = True
    return Sandbox(version, is_filtered, _is_sealed())


def _is_sealed() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return True
    return False


def limit_processor_time(seconds: int) -> None:
    """Let this process use that many more seconds of processor time; then it is killed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    # The soft limit alone: a hard one could never be raised again.
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
