"""The loop: events and scans in, batches through the pipeline, until told to stop.

One loop, two modes: a one-shot scan is this loop without a watcher, ended when nothing
is left to do. Everything happens in the calling thread; watchdog's threads only fill
the inbox, the pool's threads only decode.
"""

from __future__ import annotations

import logging
import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from photoramd.backups import DailyBackup
from photoramd.errors import printable
from photoramd.filters import RAW_SUFFIXES, SIDECAR_SUFFIX, suffix
from photoramd.intake import Intake
from photoramd.patrol import Patrol
from photoramd.pipeline import Outcome, Pipeline
from photoramd.reconciler import Reconciler
from photoramd.requests import Requests
from photoramd.schedule import ALWAYS, Schedule
from photoramd.store import WITH_INFERENCE, WITHOUT_INFERENCE, Store
from photoramd.taggers.unloading import UnloadingTagger
from photoramd.watcher import Inbox, News, Watcher

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How often a daemon looks for requests of other processes."""

CLOCK_JUMP_SECONDS = 60.0
"""When wall clock and monotonic clock part by more, the wall clock was set."""

CROWD = 128
"""More events than this in one directory: its whole subtree is scanned instead."""

PENDING_LIMIT = 512
"""When more files than this wait for their quiet period, everything is scanned once."""

JITTER = 0.1
"""Regular scans come this much sooner or later, so that not all machines do it at once."""


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
        """Call the handler on SIGINT, SIGTERM and SIGHUP, and wake up.

        Handlers only set flags: they run between any two instructions of the loop.
        """
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, lambda n, _: handler(n)) for number in wanted}
        descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, old in before.items():
                signal.signal(number, old)


class Daemon:
    """The loop and what it drives."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        pipeline: Pipeline,
        reconciler: Reconciler,
        patrol: Patrol,
        requests: Requests,
        backup: DailyBackup,
        *,
        scan_interval_seconds: float = 3600,
        schedule: Schedule = ALWAYS,
        unloading: UnloadingTagger | None = None,
    ) -> None:
        self._store = store
        self._intake = intake
        self._pipeline = pipeline
        self._reconciler = reconciler
        self._patrol = patrol
        self._requests = requests
        self._backup = backup
        self._scan_interval_seconds = scan_interval_seconds
        self._schedule = schedule
        self._unloading = unloading
        self._wakeup = Wakeup()
        self._inbox = Inbox(self._wakeup.wake)
        self._next_scan = float("inf")
        self._clock_offset: float | None = None
        self._is_crowded = False
        self._is_watching = False
        self._rescan = False
        self._stopped = False

    def close(self) -> None:
        """Free what the loop holds."""
        self._backup.close()
        self._wakeup.close()

    def stop(self) -> None:
        """Leave the loop after the present batch; safe in signal handlers and threads."""
        self._stopped = True
        if self._unloading is not None:
            self._unloading.stop()
        self._wakeup.wake()

    def watch(self, on_outcomes: Callable[[Sequence[Outcome]], None]) -> None:
        """Watch and tag until stopped."""
        with Watcher(self._inbox) as watcher, self._signals():
            self._is_watching = True
            now = time.monotonic()
            # Watches first, scan second: in the other order files fall into the gap.
            self._patrol.begin(watcher, now, time.time())
            self._scan_all(now)
            log.info("Watching %s", self._reconciler.names)
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
        """Scan these directories and tag what is new or due; returns False if interrupted.

        The schedule is for the daemon: who asks for a scan wants it now.
        """
        with self._signals() if handle_signals else nullcontext():
            for top in tops:
                self._reconciler.request(top)
            while not self._stopped and not self._turn(on_outcomes, once=True):
                pass
        return not self._stopped

    def step(self, now: float, wall: float) -> list[Outcome]:
        """One turn of the loop, without waiting. Times: monotonic and Unix seconds."""
        self._read_news(self._inbox.take(), now)
        self._check_clock(now, wall)
        self._read_requests()
        self._patrol.step(now, wall)
        if self._is_watching:
            self._backup.step(now, wall)
        if self._rescan:
            self._rescan = False
            log.info("Asked to look at everything again")
            self._patrol.retry(now)
            self._pipeline.retry()
            self._scan_all(now)
        if now >= self._next_scan:
            self._scan_all(now)
        self._reconciler.advance(self._patrol, now, wall)
        self._intake.settle(now, wall)
        if self._unloading is not None:
            self._unloading.step(now)
        return self._pipeline.step(wall, infers=self._infers(wall))

    @property
    def is_scanning(self) -> bool:
        """Whether directories remain to be walked."""
        return self._reconciler.is_scanning

    @property
    def seen(self) -> int:
        """Photos that scans have seen."""
        return self._reconciler.seen

    def offline_below(self, tops: Sequence[Path]) -> list[str]:
        """Which of these directories are not to be had now."""
        paths = [os.fspath(top) for top in tops]
        roots = [(path, self._reconciler.root_of(path)) for path in paths]
        return [path for path, root in roots if root is None or self._patrol.is_offline(root)]

    @property
    def waiting(self) -> int:
        """Photos that are queued, or wait for their quiet period."""
        return len(self._intake) + self._store.waiting()

    # Inside.

    def _signals(self) -> AbstractContextManager[None]:
        return self._wakeup.on_signals(self._on_signal)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP and self._is_watching:
            self._rescan = True
            self._wakeup.wake()
        else:
            self.stop()

    def _turn(self, on_outcomes: Callable[[Sequence[Outcome]], None], *, once: bool) -> bool:
        """A step, and the wait for the next one; returns whether a one-shot run is done."""
        now, wall = time.monotonic(), time.time()
        outcomes = self.step(now, wall)
        on_outcomes(outcomes)
        if outcomes:
            return False
        if once and self._is_done(wall):
            return True
        self._wakeup.wait(self._idle_seconds(now, wall))
        return False

    def _idle_seconds(self, now: float, wall: float) -> float:
        """How long nothing will happen by itself."""
        if self._reconciler.can_advance:
            return 0
        moments = [self._patrol.deadline() - now, self._next_scan - now]
        deadline = self._intake.deadline(now)
        if deadline is not None:
            moments.append(deadline - now)
        due = self._store.next_due(WITH_INFERENCE)
        if due is not None:
            moments.append(max(due, wall if self._infers(wall) else self._opens(wall)) - wall)
        due = self._store.next_due(WITHOUT_INFERENCE)
        if due is not None:
            moments.append(due - wall)
        if self._unloading is not None:
            moments.append(self._unloading.deadline() - now)
        if self._is_watching:
            moments.append(WATCH_SECONDS)
        return max(0.0, min(moments))

    def _is_done(self, wall: float) -> bool:
        if self.is_scanning or not self._intake.is_settled:
            return False
        due = self._store.next_due()
        return due is None or due > wall

    def _infers(self, wall: float) -> bool:
        """Whether the model may run now."""
        if self._unloading is not None and not self._unloading.is_available:
            return False
        return not self._is_watching or self._schedule.is_open(wall)

    def _opens(self, wall: float) -> float:
        return self._schedule.next_change(wall)

    def _check_clock(self, now: float, wall: float) -> None:
        """A wall clock that was set makes stored times wrong, and file times doubtful."""
        before, self._clock_offset = self._clock_offset, wall - now
        if before is not None and abs(self._clock_offset - before) > CLOCK_JUMP_SECONDS:
            log.warning("The clock was set; scanning everything")
            self._store.clamp_retries(wall)
            if self._is_watching:
                self._scan_all(now)

    def _read_requests(self) -> None:
        for request in self._requests.take():
            if request.is_undo:
                log.info("Asked to take back the tags of %s", printable(request.path))
                self._store.undo(request.path, time.time())
                continue
            log.info("Asked to tag %s again", printable(request.path))
            self._store.retag(request.path, only_failed=request.only_failed)
            self._pipeline.choose_again()
            # It may be new: then a look at the disk finds it.
            top = request.path if os.path.isdir(request.path) else os.path.dirname(request.path)
            self._reconciler.request(top)

    def _read_news(self, news: News, now: float) -> None:
        if news.lost:
            log.warning("File system events were lost; scanning everything")
            self._scan_all(now)
        for directory in news.directories:
            root = self._reconciler.root_of(directory)
            if root is not None and root.filter.enters(directory):
                self._reconciler.request(directory)
        crowds = Counter(os.path.dirname(path) for path in news.files)
        for path in news.files:
            root = self._reconciler.root_of(path)
            if root is None:
                continue
            if root.vanished:
                self._reconciler.request(root.path)
            elif crowds[os.path.dirname(path)] > CROWD:
                self._reconciler.request(os.path.dirname(path))
            elif root.filter.wants(path):
                self._intake.notice(path, now)
            elif suffix(path) == SIDECAR_SUFFIX or suffix(path) in RAW_SUFFIXES:
                self._intake.notice_companion(path, now)
        if news.files:
            self._check_pending(now)

    def _check_pending(self, now: float) -> None:
        """So many files at once seldom come without losses: look at everything, once."""
        was_crowded, self._is_crowded = self._is_crowded, len(self._intake) > PENDING_LIMIT
        if self._is_crowded and not was_crowded and not self.is_scanning:
            self._scan_all(now)

    def _scan_all(self, now: float) -> None:
        self._reconciler.request_all()
        interval = self._scan_interval_seconds
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        self._next_scan = now + interval * jitter if interval > 0 else float("inf")
