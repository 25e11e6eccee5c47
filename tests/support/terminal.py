"""A shell on a terminal of its own, which is typed into."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.daemons import wait_for

BEGIN_OF_LINE = "\x01"


def arguments_after(shell: Sequence[str], directory: Path, typed: str) -> list[str]:
    """Return the arguments that a line has after it was typed, completions included.

    Before Enter, a program that writes its arguments into a file is put before the line.

    Args:
        shell: An interactive shell with its arguments.
        directory: The working directory, which gets files.
        typed: What is typed; a tab asks for a completion.
    """
    answer = directory / "answer"
    program = directory / "arguments"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({os.fspath(answer)!r} + '~', 'w').write(json.dumps(sys.argv[1:]))\n"
        f"os.rename({os.fspath(answer)!r} + '~', {os.fspath(answer)!r})\n"
    )
    program.chmod(0o755)
    answer.unlink(missing_ok=True)
    screen = directory / "screen"
    control, terminal = pty.openpty()
    try:
        with screen.open("wb") as output:
            process = subprocess.Popen(
                shell, stdin=terminal, stdout=output, stderr=output, cwd=directory,
                start_new_session=True,
            )  # fmt: skip
        os.write(control, f"{typed}{BEGIN_OF_LINE}{program} \r".encode())
        wait_for(lambda: answer.exists() or process.poll() is not None, typed)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        os.close(control)
        os.close(terminal)
    assert answer.exists(), screen.read_text()
    found: list[str] = json.loads(answer.read_text())
    return found


def shown_by(command: Sequence[str]) -> str:
    """Return what a command prints on a terminal, escape sequences included."""
    control, terminal = pty.openpty()
    shown = bytearray()
    try:
        process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        # The end of what was printed is an error in place of an empty answer: see pty(7).
        with suppress(OSError):
            while part := os.read(control, 65_536):
                shown += part
        process.wait()
    finally:
        os.close(control)
    return shown.decode()
