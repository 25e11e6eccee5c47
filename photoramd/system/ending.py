"""The end of a process that has threads which nobody can wait for."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

log = logging.getLogger(__name__)

_END_SECONDS = 1.0
"""How long threads may take to end when the process is to."""


class NativeThread(threading.Thread):
    """A daemon thread that runs native code, such as a model, for which no end waits.

    When native code comes back while Python ends, Python ends the thread there and then. In C++
    that aborts the whole process, so `end` keeps Python from doing it.

    Args:
        target: What it runs.
        name: Its name.
    """

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)


def end(code: int) -> NoReturn:
    """End the process, at once if a native thread still runs.

    Args:
        code: The exit status.
    """
    if any(isinstance(each, NativeThread) for each in threading.enumerate()):
        _end_at_once(code)
    sys.exit(code)


def leave_hung_threads(warning: str) -> None:
    """End the process with 0 if threads hang that Python would wait for.

    Args:
        warning: What is logged then.
    """
    ends_at = time.monotonic() + _END_SECONDS
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(max(0.0, ends_at - time.monotonic()))
        if thread.is_alive():
            log.warning("%s", warning)
            _end_at_once(0)


def _end_at_once(code: int) -> NoReturn:
    """End the process as Python would, but for its threads."""
    try:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # it was closed before the process began
                with suppress(OSError, ValueError):
                    stream.flush()
    finally:
        os._exit(code)
