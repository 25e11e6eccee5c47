"""Turn signals into flags, and wait until they or other threads end the wait."""

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
        stopped: Whether a stop was requested.
        reload: Whether a reload of the configuration was requested.
        is_loading: Whether the process may end at once, because no write is under way.
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
        """Request a stop; safe in signal handlers and threads."""
        self.stopped = True
        self.wake()

    def wake(self) -> None:
        """End the current or the next wait; safe in signal handlers and threads."""
        # Full: it will wake up anyway; closed: nobody waits.
        with suppress(OSError):
            os.write(self._write, b"\0")

    def wait(self, seconds: float | None) -> None:
        """Sleep until woken, at most for a number of seconds; None waits without limit."""
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
            reloads: Whether SIGHUP requests a reload of the configuration instead of a stop.
            is_last: Whether the process ends afterwards, as it does after a stop: signals are then
                ignored, as a second request would turn a clean end into a failure.
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
            ends = is_last or self.stopped
            for number, old in before.items():
                signal.signal(number, signal.SIG_IGN if ends else old)
