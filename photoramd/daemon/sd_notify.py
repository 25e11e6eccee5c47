"""systemd (the library systemd-python): readiness, watchdog, status, and the journal.

The protocol is that of sd_notify(3); without systemd everything here does nothing. A sign of
life is sent when something got done, never by a timer: while photoramd starts it asks
for more time, afterwards it is the watchdog's ping.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from photoramd.errors import PIP, ConfigError

log = logging.getLogger(__name__)

EXTENSION_SECONDS = 120.0
"""How much more time is asked for at once, while a start gets on."""

BEAT_SECONDS = 15.0
"""Signs of life are this far apart at least, or a quarter of the watchdog's patience."""

STATUS_SECONDS = 2.0
"""The status line changes at most this often."""

LOOK_SECONDS = 5.0
"""How often a long operation is looked at."""

LIVELY_SECONDS = 0.005
"""The processor time that one must have used since the last look to count as alive."""


_REMEDY = (
    f"install it into the same environment: {PIP} systemd-python, which is compiled and needs"
    " apt-get install libsystemd-dev pkg-config gcc python3-dev"
)


class Notifier:
    """Tells systemd how we are. Made in the main thread; use it as a context manager.

    Args:
        send: Sends a message of the protocol; None if nobody listens.
        watchdog_seconds: How long systemd waits for a ping; None: it does not.
        look_seconds: How often a long operation is looked at.
    """

    def __init__(
        self,
        send: Callable[[str], object] | None = None,
        *,
        watchdog_seconds: float | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._send = send
        self._interval_seconds = min(BEAT_SECONDS, (watchdog_seconds or 4 * BEAT_SECONDS) / 4)
        self._has_watchdog = watchdog_seconds is not None
        self._is_started = False
        self._check: Callable[[], bool] | None = None
        self._lock = threading.Lock()
        self._next_beat = float("-inf")
        self._next_status = float("-inf")
        self._status = ""
        self._busy = 0
        self._closed = threading.Event()
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._look_seconds = look_seconds
        self._observer = threading.Thread(target=self._observe, name="systemd", daemon=True)

    def __enter__(self) -> Notifier:
        if self._send is not None:
            self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._observer.is_alive():
            self._observer.join()

    def ready(self, check: Callable[[], bool]) -> None:
        """Notify systemd that everything is loaded and watched.

        Args:
            check: Whether all is well; asked before each ping.
        """
        self._check, self._is_started = check, True
        # Sent again at once: the old status may tell what went on until now.
        self._status, self._next_status = "", float("-inf")
        self._tell("READY=1")
        self._next_beat = float("-inf")
        self.beat()

    def reloading(self) -> None:
        """Notify systemd that the configuration is being reloaded; `ready` ends that."""
        self._check = None
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Notify systemd that the service is stopping."""
        self._tell("STOPPING=1\nSTATUS=Stopping: finishing the present photo")

    def beat(self) -> None:
        """Send a sign of life, if one is due; cheap enough to be called for everything."""
        now = time.monotonic()
        if self._send is None or now < self._next_beat:
            return
        if self._check is None or self._check():
            self._ping(now)
        else:
            self._next_beat = now + self._interval_seconds

    def describe(self, sentence: Callable[[], str]) -> None:
        """Show a line in systemd's status; it is asked for only when it is time."""
        now = time.monotonic()
        if self._send is None or now < self._next_status:
            return
        self._next_status = now + STATUS_SECONDS
        text = " ".join(sentence().split())
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Wrap an operation of the main thread that takes long and reports no progress.

        It counts as alive while the thread uses processor time; one that waits does not.
        """
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def _observe(self) -> None:
        used = 0.0
        while not self._closed.wait(self._look_seconds):
            before, used = used, time.clock_gettime(self._clock)
            now = time.monotonic()
            if self._busy and used - before > LIVELY_SECONDS and now >= self._next_beat:
                self._ping(now)

    def _ping(self, now: float) -> None:
        self._next_beat = now + self._interval_seconds
        messages = []
        if self._check is None:
            # Starting, or reloading.
            messages.append(f"EXTEND_TIMEOUT_USEC={EXTENSION_SECONDS * 1e6:.0f}")
        if self._has_watchdog and self._is_started:
            messages.append("WATCHDOG=1")
        if messages:
            self._tell("\n".join(messages))

    def _tell(self, message: str) -> None:
        if self._send is None:
            return
        try:
            with self._lock:
                self._send(message)
        except OSError as error:
            # For example while systemd restarts. The next message may arrive.
            log.debug("systemd cannot be told %r: %s", message, error)


def connect() -> Notifier:
    """Return the one who started us, if that was systemd and it wants to know how we are.

    Raises:
        ConfigError: It does, but systemd-python is not installed.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return Notifier()
    try:
        from systemd.daemon import notify
    except ImportError as error:
        raise ConfigError(
            "started by systemd with Type=notify, which needs the library systemd-python: without"
            f" it systemd would wait in vain and stop photoramd again ({error})",
            remedy=_REMEDY,
        ) from error
    return Notifier(notify, watchdog_seconds=_watchdog_seconds())


def _watchdog_seconds() -> float | None:
    """Return what systemd says of the watchdog, as sd_watchdog_enabled(3) reads it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    interval = os.environ.get("WATCHDOG_USEC", "")
    return int(interval) / 1e6 if interval.isdigit() and int(interval) else None
