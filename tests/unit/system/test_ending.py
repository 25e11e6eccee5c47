"""The end of a process whose threads go on."""

from __future__ import annotations

import subprocess
import sys

HANGING = """
import logging, threading, time
from photoramd.system.ending import NativeThread, end
logging.basicConfig()
NativeThread(threading.Event().wait, "hanging").start()
threading.Thread(target=threading.Event().wait, daemon=DAEMON).start()
print("printed")
logging.warning("logged")
end(7)
"""


def test_with_a_native_thread_it_ends_at_once_with_its_code_and_its_output() -> None:
    for daemon in ("True", "False"):
        code = HANGING.replace("DAEMON", daemon)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 7
        assert done.stdout == "printed\n"
        assert "logged" in done.stderr


def test_without_one_it_ends_as_python_does() -> None:
    code = (
        "import atexit\n"
        "from photoramd.system.ending import NativeThread, end\n"
        "atexit.register(print, 'at exit')\n"
        "thread = NativeThread(int, 'short')\n"
        "thread.start()\n"
        "thread.join()\n"
        "end(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "at exit\n", "")


def test_it_ends_with_its_code_where_there_is_no_output() -> None:
    code = HANGING.replace("DAEMON", "True").replace('print("printed")', "")
    command = 'exec "$0" -c "$1" >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, code], timeout=60, check=False)
    assert done.returncode == 7
