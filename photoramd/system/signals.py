"""What signals ask for, and a wait that they and other threads can end."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Interrupts:
    """Flags that signals set, and the loop's wait. Use it as a context manager.

    Attributes:
        stopped: Whether somebody asked for an end.
        reload: Whether a reload of the configuration was requested.
        is_loading: Nothing is under way that a stop could tear, so that it need not wait.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.reload = False
        self.is_loading = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Interrupts:
        return self

    def __exit__(self, *_: object) -> None:
        # Threads may still want to wake the loop: `wake` then does nothing.
        write, self._write = self._write, -1
        os.close(self._read)
        os.close(write)

    def stop(self) -> None:
        """Ask for an end; safe in signal handlers and threads."""
        self.stopped = True
        self.wake()

    def wake(self) -> None:
        """End the present or the next wait; safe in signal handlers and threads."""
        # Full: it will wake up anyway; closed: nobody waits.
        with suppress(OSError):
            os.write(self._write, b"\0")

    def wait(self, seconds: float | None) -> None:
        """Sleep until woken, at most so long; None: without limit."""
        if select.select([self._read], [], [], seconds)[0]:
            while True:
                try:
                    if len(os.read(self._read, 4096)) < 4096:
                        return
                except BlockingIOError:
                    return

    @contextmanager
    def on_signals(self, *, reloads: bool = False, is_last: bool = False) -> Iterator[None]:
        """Have SIGINT, SIGTERM and SIGHUP set the flags and end the wait.

        Args:
            reloads: Whether SIGHUP asks for a reload of the configuration, not for an end.
            is_last: Whether the process ends afterwards, and signals count no more: the default
                would make a failure of a clean end that somebody asks for twice.
        """
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

        # Handlers only set flags: they run between any two instructions of the loop.
        def handle(number: int, _: object) -> None:
            if number == signal.SIGHUP and reloads:
                self.reload = True
                return
            self.stopped = True
            if self.is_loading:
                sys.exit(0)

        before = {number: signal.signal(number, handle) for number in wanted}
        descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            self.is_loading = False
            signal.set_wakeup_fd(descriptor)
            for number, old in before.items():
                signal.signal(number, signal.SIG_IGN if is_last else old)
