"""Programs of others, with real ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.errors import StoppedError
from photoramd.system import child, process_group
from photoramd.system.process_group import OUTPUT_BYTES, Finished
from tests.support.clock import bound
from tests.support.daemons import wait_for


def run(
    *command: str,
    given: bytes = b"",
    timeout_seconds: float = 60,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Finished:
    program = child.Program(command, {"PATH": os.environ["PATH"], "WORD": "cat"})
    return process_group.run(program, given, timeout_seconds=timeout_seconds, is_wanted=is_wanted)


def is_running(process: Path) -> bool:
    """Whether the process whose number a file has still runs; a zombie has ended."""
    try:
        status = Path("/proc", process.read_text().strip(), "stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(") ")[2][0] != "Z"


def test_input_output_and_exit_code_pass() -> None:
    program = "import sys; print(len(sys.stdin.read())); print('err', file=sys.stderr); sys.exit(3)"
    # Larger than any pipe.
    assert run(sys.executable, "-c", program, given=b"x" * 3_000_000) in (
        Finished(3, b"3000000\nerr\n"),
        Finished(3, b"err\n3000000\n"),
    )


def test_it_has_the_variables_it_is_given_and_no_open_files() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        done = run("sh", "-c", 'echo "$WORD|$HOME|$PWD"; ls /proc/self/fd')
    finally:
        os.close(reader)
        os.close(writer)
    first, *descriptors = done.output.decode().split()
    assert first == "cat||/"
    assert descriptors == ["0", "1", "2", "3"]  # the last one is ls's own, of the directory


def test_endless_output_is_read_and_forgotten() -> None:
    program = "head -c 10000000 /dev/zero"
    assert run("sh", "-c", program) == Finished(0, bytes(OUTPUT_BYTES))


def test_one_that_takes_too_long_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TimeoutError, match="no end within"):
        run("sh", "-c", f"sleep 600 & echo $! > '{pid}'; wait", timeout_seconds=0.5)
    wait_for(lambda: not is_running(pid), "the end of what it had started")


def test_one_that_ends_leaves_nothing_behind_and_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    done = run("sh", "-c", f"sleep 600 & echo $! > '{pid}'; echo done")
    assert done == Finished(0, b"done\n")
    assert time.monotonic() - began < bound(30)
    wait_for(lambda: not is_running(pid), "the end of what it had started")


def test_one_that_closes_its_output_is_waited_for_without_effort(tmp_path: Path) -> None:
    began = time.process_time()
    assert run("sh", "-c", "exec >&- 2>&-; sleep 1; exit 7") == Finished(7, b"")
    assert time.process_time() - began < bound(0.5)


def test_one_that_ignores_signals_is_killed_when_it_is_not_wanted(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(StoppedError):
        run(
            "sh",
            "-c",
            f"trap '' TERM INT HUP; touch '{started}'; while :; do sleep 1; done",
            is_wanted=lambda: not started.exists(),
        )


def test_one_that_cannot_be_started_is_an_error_of_the_system(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(PermissionError):
        run(os.fspath(text))
    text.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        run(os.fspath(text))
