"""Child processes, with real ones."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from photoramd.system import child


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_what_a_child_wrote_and_its_exit_code_are_returned() -> None:
    done = child.run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), 60
    )

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_a_child_gets_the_descriptors_and_variables_it_is_given_and_no_input(
    tmp_path: Path,
) -> None:
    (tmp_path / "photo").write_bytes(b"pixels")
    with (tmp_path / "photo").open("rb") as file:
        number = file.fileno()
        done = child.run(
            python(
                f"import os, sys; print(os.read({number}, 9), os.environ['WORD'],"
                " sys.stdin.read(), os.getcwd(), sep='|')"
            ),
            60,
            descriptors=[number],
            environment={"WORD": "cat"},
        )

    assert done.stdout == b"b'pixels'|cat||/\n"


def test_a_child_that_takes_too_long_is_killed_and_reaped(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )

    with pytest.raises(TimeoutError):
        child.run(python(program), 2)

    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_ctrl_c_does_not_reach_a_child() -> None:
    process = child.start(python("input()"), stdin="pipe")
    try:
        assert os.getpgid(process.pid) != os.getpgid(0)
        assert os.getsid(process.pid) == process.pid
    finally:
        assert child.end(process)
    assert process.returncode == -signal.SIGKILL


def test_a_program_that_is_missing_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        child.run(["/nonexistent/program"], 60)
