"""Child processes: start them, tie them to this one, limit them, and end them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

_NOTHING: Mapping[str, str] = {}

Stream = Literal["pipe", "null"]
_STREAMS = {"pipe": subprocess.PIPE, "null": subprocess.DEVNULL}


@dataclass(frozen=True, slots=True)
class Program:
    """What a process is to run.

    Attributes:
        command: The program and its arguments.
        environment: All its variables.
        executable: The program's file, if its name in the command does not tell.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    executable: str | None = None


def module(name: str, *arguments: str, environment: Mapping[str, str] = _NOTHING) -> Program:
    """Return how one of photoramd's modules runs, with interpreter and modules of this process.

    Args:
        name: The module.
        arguments: Its arguments.
        environment: Variables that it has besides, or instead of, those of this process.
    """
    return Program(
        [sys.executable, "-P", "-m", name, *arguments],
        {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        # Whatever the interpreter's path leads to by now, and for this user.
        "/proc/self/exe",
    )


def start(
    command: Sequence[str],
    *,
    stdin: Stream = "null",
    output: Stream = "pipe",
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] = _NOTHING,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, in the root directory.

    Ctrl-C does not reach it: that is for this process, which ends the child or lets it finish.

    Args:
        command: The program and its arguments.
        stdin: Where its standard input comes from.
        output: Where its standard output and standard error go to.
        descriptors: Open files that it inherits, under the same numbers.
        environment: Variables that it has besides, or instead of, those of this process.

    Raises:
        OSError: It cannot be started.
    """
    return subprocess.Popen(
        command,
        stdin=_STREAMS[stdin],
        stdout=_STREAMS[output],
        stderr=_STREAMS[output],
        pass_fds=descriptors,
        cwd="/",
        env={**os.environ, **environment},
        start_new_session=True,
    )


def start_module(
    name: str, descriptor: int, *arguments: str, environment: Mapping[str, str] = _NOTHING
) -> subprocess.Popen[bytes]:
    """Start one of photoramd's modules.

    It has this process's directory and streams, but for standard input, and a session of its own.

    Args:
        name: The module.
        descriptor: An open file that it inherits, whose number is its first argument.
        arguments: The others.
        environment: As for `start`.

    Raises:
        OSError: It cannot be started.
    """
    program = module(name, str(descriptor), *arguments, environment=environment)
    return subprocess.Popen(
        program.command,
        executable=program.executable,
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=program.environment,
        start_new_session=True,
    )


def run(
    command: Sequence[str],
    timeout_seconds: float,
    *,
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] = _NOTHING,
) -> subprocess.CompletedProcess[bytes]:
    """Run a child to its end; return its exit code and what it wrote to its two streams.

    Args:
        command: The program and its arguments.
        timeout_seconds: How long it may take; then it is killed.
        descriptors: As for `start`.
        environment: As for `start`.

    Raises:
        OSError: It cannot be started.
        TimeoutError: It took too long.
    """
    process = start(command, descriptors=descriptors, environment=environment)
    try:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no end within {timeout_seconds:g} s") from error
    finally:
        end(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


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
