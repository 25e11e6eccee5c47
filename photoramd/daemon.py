"""The loop: events and scans in, batches through the pipeline, until told to stop.

One loop, two modes: a one-shot scan is this loop without a watcher, ended when nothing
is left to do. Everything happens in the calling thread; watchdog's threads only fill
the inbox, the pool's threads only decode.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.errors import PhotoramdError, printable
from photoramd.filters import RAW_SUFFIXES, SIDECAR_SUFFIX, suffix
from photoramd.intake import Intake
from photoramd.photo import Photo
from photoramd.pipeline import Outcome, Pipeline
from photoramd.replace import remove_temporary
from photoramd.roots import Health, HealthBook, Root
from photoramd.scanner import Scan
from photoramd.store import Store
from photoramd.watcher import Inbox, News, Watcher

log = logging.getLogger(__name__)

HEALTH_SECONDS = 60.0
"""How often the roots themselves are looked at."""

LEFTOVER_SECONDS = 60.0
"""How old a temporary must be to be a leftover; writing takes milliseconds."""

DIRECTORIES_PER_STEP = 16
"""How far a scan goes before events and finished photos get their turn."""


class Wakeup:
    """Interrupts the loop's wait, from any thread and from signal handlers."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the pipe; `wake` then does nothing."""
        write, self._write = self._write, -1
        os.close(self._read)
        os.close(write)

    def wake(self) -> None:
        """End the present or the next wait."""
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
    def on_signals(self, handler: Callable[[int], None]) -> Iterator[None]:
        """Call the handler on SIGINT and SIGTERM, and wake up.

        Handlers only set flags: they run between any two instructions of the loop.
        """
        wanted = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda n, _: handler(n)) for number in wanted}
        descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, old in before.items():
                signal.signal(number, old)


@dataclass(slots=True)
class _Walk:
    """A scan under way."""

    root: Root
    scan: Scan
    steps: Iterator[list[Photo]]
    whole: bool


class Daemon:
    """The loop and what it drives."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        pipeline: Pipeline,
        roots: Sequence[Root],
        health: HealthBook,
        *,
        scan_interval_seconds: float = 3600,
    ) -> None:
        self._store = store
        self._intake = intake
        self._pipeline = pipeline
        self._roots = roots
        self._health = health
        self._scan_interval_seconds = scan_interval_seconds
        self._wakeup = Wakeup()
        self._inbox = Inbox(self._wakeup.wake)
        self._requested: deque[str] = deque()
        self._walk: _Walk | None = None
        self._next_scan = float("inf")
        self._next_health = 0.0
        self._stopped = False

    def close(self) -> None:
        """Free what the loop holds."""
        self._wakeup.close()

    def stop(self) -> None:
        """Leave the loop after the present batch; safe in signal handlers and threads."""
        self._stopped = True
        self._wakeup.wake()

    def watch(self, on_outcomes: Callable[[Sequence[Outcome]], None]) -> None:
        """Watch and tag until stopped."""
        with Watcher(self._inbox) as watcher, self._signals():
            # Watches first, scan second: in the other order files fall into the gap.
            problems = watcher.watch([root.path for root in self._roots])
            for root in self._roots:
                root.watch_problem = problems.get(root.path)
            self._scan_all(time.monotonic())
            log.info("Watching %s", ", ".join(printable(root.path) for root in self._roots))
            while not self._stopped:
                self._turn(on_outcomes, once=False)
            log.info("Stopped")

    def scan_once(
        self,
        tops: Sequence[str],
        on_outcomes: Callable[[Sequence[Outcome]], None],
        *,
        handle_signals: bool = True,
    ) -> bool:
        """Scan these directories and tag what is new or due; returns False if interrupted."""
        with self._signals() if handle_signals else nullcontext():
            self._requested.extend(tops)
            while not self._stopped and not self._turn(on_outcomes, once=True):
                pass
        return not self._stopped

    def step(self, now: float, wall: float) -> list[Outcome]:
        """One turn of the loop, without waiting. Times: monotonic and Unix seconds."""
        self._read_news(self._inbox.take(), now)
        if now >= self._next_health:
            self._check_health(wall)
            self._next_health = now + HEALTH_SECONDS
        if now >= self._next_scan:
            self._scan_all(now)
        self._advance_scan(now, wall)
        self._intake.settle(now, wall)
        return self._pipeline.step(wall)

    @property
    def is_scanning(self) -> bool:
        """Whether directories remain to be walked."""
        return self._walk is not None or bool(self._requested)

    @property
    def present(self) -> int:
        """Photos seen by the scan under way."""
        return self._walk.scan.present if self._walk else 0

    @property
    def waiting(self) -> int:
        """Photos that are queued, or wait for their quiet period."""
        return len(self._intake) + self._store.waiting()

    # Inside.

    def _signals(self) -> AbstractContextManager[None]:
        return self._wakeup.on_signals(lambda _: self.stop())

    def _turn(self, on_outcomes: Callable[[Sequence[Outcome]], None], *, once: bool) -> bool:
        """A step, and the wait for the next one; returns whether a one-shot run is done."""
        now, wall = time.monotonic(), time.time()
        outcomes = self.step(now, wall)
        on_outcomes(outcomes)
        if outcomes:
            return False
        if once and self._is_done(now, wall):
            return True
        self._wakeup.wait(self._idle_seconds(now, wall))
        return False

    def _idle_seconds(self, now: float, wall: float) -> float:
        """How long nothing will happen by itself."""
        moments = [self._next_health - now, self._next_scan - now]
        deadline = self._intake.deadline(now)
        if deadline is not None:
            moments.append(deadline - now)
        due = self._store.next_due()
        if due is not None:
            moments.append(due - wall)
        if self.is_scanning and self._intake.has_room:
            return 0
        return max(0.0, min(moments))

    def _is_done(self, now: float, wall: float) -> bool:
        if self.is_scanning or self._intake.deadline(now) is not None:
            return False
        due = self._store.next_due()
        return due is None or due > wall

    def _read_news(self, news: News, now: float) -> None:
        if news.lost:
            log.warning("File system events were lost; scanning everything")
            self._scan_all(now)
        for directory in news.directories:
            root = self._root_of(directory)
            if root is not None and root.filter.enters(directory):
                self._request(directory)
        for path in news.files:
            root = self._root_of(path)
            if root is None:
                continue
            if root.filter.wants(path):
                self._intake.notice(path, now)
            elif suffix(path) == SIDECAR_SUFFIX or suffix(path) in RAW_SUFFIXES:
                self._intake.notice_companion(path, now)

    def _root_of(self, path: str) -> Root | None:
        return next((root for root in self._roots if root.contains(path)), None)

    def _check_health(self, wall: float) -> None:
        for root in self._roots:
            self._health.record(root.path, root.check(), wall)

    def _scan_all(self, now: float) -> None:
        for root in self._roots:
            self._request(root.path)
        interval = self._scan_interval_seconds
        self._next_scan = now + interval if interval > 0 else float("inf")

    def _request(self, top: str) -> None:
        if top not in self._requested:
            self._requested.append(top)

    def _advance_scan(self, now: float, wall: float) -> None:
        """Walk a few directories further, as long as the intake takes what is found."""
        for _ in range(DIRECTORIES_PER_STEP):
            if not self._intake.has_room:
                return
            self._walk = walk = self._walk or self._begin_scan(wall)
            if walk is None:
                return
            photos = next(walk.steps, None)
            if photos is None:
                self._end_scan(walk, wall)
                self._walk = None
            else:
                self._intake.offer(photos, now)

    def _begin_scan(self, wall: float) -> _Walk | None:
        while self._requested:
            top = self._requested.popleft()
            root = self._root_of(top)
            if root is None:
                continue
            health = root.check()
            self._health.record(root.path, health, wall)
            if health.state != "offline":
                scan = Scan(top, root.filter, self._store)
                return _Walk(root, scan, iter(scan), top == root.path)
        return None

    def _end_scan(self, walk: _Walk, wall: float) -> None:
        """Draw the conclusions of a whole scan; deletions come last and only if all is well."""
        if not walk.whole:
            return
        root, scan = walk.root, walk.scan
        root.scan_problem = _unreadable(scan)
        health = root.check()
        if health.state != "offline" and scan.absent and not scan.present:
            health = Health(
                "offline",
                f"all its {len(scan.absent)} photos have vanished; they keep their state",
                "mount the share or disk again; if the photos were removed on purpose, remove"
                " the directory from the configuration",
            )
        self._health.record(root.path, health, wall)
        if health.state != "offline":
            if scan.absent:
                self._store.missed(scan.absent)
            for temporary in scan.leftovers:
                _sweep(temporary, wall)
            self._health.scanned(root.path, wall)
            log.debug("%s: scanned, %d photos", printable(root.path), scan.present)


def _sweep(temporary: Path, wall: float) -> None:
    """Remove a temporary that a killed process left; a fresh one may be in use."""
    with suppress(OSError, PhotoramdError):
        if wall - temporary.lstat().st_ctime > LEFTOVER_SECONDS and remove_temporary(temporary):
            log.info("Removed %s, left by an interrupted write", printable(temporary))


def _unreadable(scan: Scan) -> PhotoramdError | None:
    """What a scan could not read, as one complaint."""
    if not scan.unreadable:
        return None
    first, reason = next(iter(scan.unreadable.items()))
    more = f" and {len(scan.unreadable) - 1} more" if len(scan.unreadable) > 1 else ""
    return PhotoramdError(
        f"cannot read {printable(first)}{more}: {reason}",
        path=first,
        remedy="give photoramd's user permission to read it, or exclude it",
    )
