"""The loop: take events and scans, move batches through the pipeline, until told to stop.

There is one loop with two modes: a one-shot scan is this loop without a watcher, which ends when
nothing is left to do. Everything happens in the calling thread; watchdog's threads only fill the
inbox, the pool's threads only decode.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import Monotonic, UnixTime, monotonic, unix_time
from photoramd.config.schedule import ALWAYS, Schedule
from photoramd.daemon.backup import DailyBackup
from photoramd.daemon.figures import FigureKeeper
from photoramd.daemon.hooks import Announcer
from photoramd.daemon.sd_notify import Notifier
from photoramd.daemon.status_line import Situation, StatusLine
from photoramd.daemon.triage import Triage
from photoramd.database.editing import Editing
from photoramd.database.queue import WITH_INFERENCE, WITHOUT_INFERENCE, Queue
from photoramd.database.requests import Requests
from photoramd.errors import StoreError, printable
from photoramd.models.availability import Availability, require_hope
from photoramd.photo import PhotoState
from photoramd.pipeline.pipeline import Outcome, Pipeline
from photoramd.pipeline.rereading import Rereader
from photoramd.system.signals import Interrupts
from photoramd.watch.reconciler import Reconciler
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.supervisor import Supervisor
from photoramd.watch.watcher import Inbox, Watcher

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How often a daemon looks for requests of other processes."""

CLOCK_JUMP_SECONDS = 60.0
"""If the clocks drift apart by more than this, the wall clock was set."""

JITTER = 0.1
"""Regular scans come this much sooner or later, so that machines do not scan in step."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop drives.

    Attributes:
        queue: The photos that wait.
        stability: Fills the queue.
        pipeline: Empties it.
        reconciler: Scans.
        supervisor: Checks the watched directories.
        requests: What other processes ask for.
        editing: The edits of tags that they ask for.
        backup: The daily copy of the database.
        rereader: Reads again what files say.
        announcer: Tells others of tagged photos.
        figures: What other processes are told of this one.
        availability: That of the model, if it is not always available.
    """

    queue: Queue
    stability: StabilityTracker
    pipeline: Pipeline
    reconciler: Reconciler
    supervisor: Supervisor
    requests: Requests
    editing: Editing
    backup: DailyBackup
    rereader: Rereader
    announcer: Announcer
    figures: FigureKeeper
    availability: Availability | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the loop is controlled and observed.

    Attributes:
        interrupts: Ends a wait, or the loop.
        notifier: Tells systemd how the loop is.
        status_line: Formats what it tells.
        probe: Raises a StoreError if the database cannot be written.
    """

    interrupts: Interrupts
    notifier: Notifier
    status_line: StatusLine
    probe: Callable[[], None]


class Daemon:
    """The loop.

    Args:
        parts: What it drives.
        surroundings: How it is controlled and observed.
        scan_interval_seconds: The time between two scans of everything; 0: only at the start.
        schedule: When the model may run while it watches.
    """

    def __init__(
        self,
        parts: Parts,
        surroundings: Surroundings,
        *,
        scan_interval_seconds: float = 3600,
        schedule: Schedule = ALWAYS,
    ) -> None:
        self._queue = parts.queue
        self._stability = parts.stability
        self._pipeline = parts.pipeline
        self._reconciler = parts.reconciler
        self._supervisor = parts.supervisor
        self._requests = parts.requests
        self._editing = parts.editing
        self._backup = parts.backup
        self._rereader = parts.rereader
        self._announcer = parts.announcer
        self._figures = parts.figures
        self._availability = parts.availability
        self._interrupts = interrupts = surroundings.interrupts
        self._notifier = surroundings.notifier
        self._status_line = surroundings.status_line
        self._probe = surroundings.probe
        self._scan_interval_seconds = scan_interval_seconds
        self._schedule = schedule
        self._inbox = Inbox(interrupts.wake)
        self._next_scan = Monotonic(float("inf"))
        self._clock_offset: float | None = None
        self._triage = Triage(parts.reconciler, parts.stability)
        self._watcher: Watcher | None = None
        self._rescan = False
        self._has_edits = False

    def close(self) -> None:
        """Wait for what the loop has started, and store its last figures."""
        self._backup.close()
        self._figures.close(unix_time())

    def rescan(self) -> None:
        """Scan everything at the next turn, and retry everything deferred at once."""
        self._rescan = True

    def watch(
        self,
        on_outcomes: Callable[[Sequence[Outcome]], None],
        reload: Callable[[], bool] = lambda: False,
    ) -> None:
        """Watch and tag until stopped, or until there is another configuration.

        Args:
            on_outcomes: Called with the outcomes of photos.
            reload: Called after SIGHUP; returns whether there is another configuration, which
                needs another loop.
        """
        with Watcher(self._inbox) as self._watcher:
            now = monotonic()
            # Watches first, scan second: in the other order files fall into the gap.
            with self._notifier.busy():
                self._supervisor.begin(self._watcher, now, unix_time())
            self._scan_all(now)
            log.info("Watching %s", self._reconciler.names)
            self._notifier.ready(self._is_well)
            self._tell(0, unix_time())
            while not self._interrupts.stopped:
                if self._interrupts.reload and self._reloads(reload):
                    return
                self._turn(on_outcomes, once=False)

    def scan_once(
        self,
        tops: Sequence[str],
        on_outcomes: Callable[[Sequence[Outcome]], None],
        *,
        handle_signals: bool = True,
    ) -> bool:
        """Scan directories and tag what is new or due; return False if interrupted.

        The schedule does not apply: a user who asks for a scan wants it now.

        Raises:
            ModelUnavailableError: It runs elsewhere, and no machine is there.
        """
        with self._interrupts.on_signals() if handle_signals else nullcontext():
            for top in tops:
                self._reconciler.request(top)
            while not self._interrupts.stopped and not self._turn(on_outcomes, once=True):
                pass
        return not self._interrupts.stopped

    def step(self, now: Monotonic, wall: UnixTime) -> list[Outcome]:
        """Run one turn of the loop, without waiting."""
        events = self._inbox.take()
        if self._triage.read(events, now, wall):
            self._scan_all(now)
        if events.files:
            self._rereader.wake()
        self._check_clock(now, wall)
        self._read_requests()
        self._apply_edits(wall)
        with self._notifier.busy():
            self._supervisor.step(now, wall)
        if self._is_watching:
            self._backup.step(now, wall)
        if self._rescan:
            self._rescan = False
            log.info("Asked to look at everything again")
            self._supervisor.retry(now)
            self._pipeline.retry()
            self._scan_all(now)
        if now >= self._next_scan:
            self._scan_all(now)
        with self._notifier.busy():
            finished = self._reconciler.advance(now, wall)
            if finished is not None:
                self._supervisor.record_scan(finished, now, wall)
        self._stability.settle(now, wall)
        if self._availability is not None:
            self._availability.step(now)
        return self._pipeline.step(
            wall,
            infers=self._infers(wall),
            scans=self.is_scanning,
            renews=self._is_watching and not self.is_scanning and self._stability.is_settled,
        )

    @property
    def is_scanning(self) -> bool:
        """Whether directories remain to be walked."""
        return self._reconciler.is_scanning

    @property
    def unread(self) -> int:
        """How many known photos are yet to be read for keywords and dates, about."""
        return self._rereader.left

    @property
    def seen(self) -> int:
        """How many photos scans have seen."""
        return self._reconciler.seen

    def offline_below(self, tops: Sequence[Path]) -> list[str]:
        """Return the given directories that are offline."""
        paths = [os.fspath(top) for top in tops]
        roots = [(path, self._reconciler.root_of(path)) for path in paths]
        return [path for path, root in roots if root is None or self._supervisor.is_offline(root)]

    @property
    def waiting(self) -> int:
        """How many photos are queued or wait for their quiet period."""
        return len(self._stability) + self._queue.waiting()

    @property
    def _is_watching(self) -> bool:
        return self._watcher is not None

    def _reloads(self, reload: Callable[[], bool]) -> bool:
        """Reload the configuration; return whether this loop must end for another."""
        self._interrupts.reload = False
        self._notifier.reloading()
        if reload():
            return True
        self._notifier.ready(self._is_well)
        self.rescan()
        return False

    def _is_well(self) -> bool:
        """Return whether the watcher and the database work; that the loop does, the call proves."""
        if self._watcher is not None and not self._watcher.is_well:
            return False
        try:
            self._probe()
        except StoreError as error:
            log.warning("The database cannot be written now: %s", error)
            return False
        return True

    def _tell(self, done: int, wall: UnixTime) -> None:
        """Notify systemd of progress and status."""
        now = monotonic()
        self._status_line.note(done, now)
        self._notifier.beat()
        self._notifier.describe(lambda: self._status_line.format(now, self._situation(wall)))

    def _situation(self, wall: UnixTime) -> Situation:
        return Situation(
            roots=self._reconciler.roots,
            waiting=self.waiting,
            is_scanning=self.is_scanning,
            rests_until=None if self._is_open(wall) else self._opens(wall),
            unhealthy=self._supervisor.unhealthy(),
            model_problem=self._availability.trouble if self._availability is not None else "",
        )

    def _turn(self, on_outcomes: Callable[[Sequence[Outcome]], None], *, once: bool) -> bool:
        """Run a step and wait for the next one; return whether a one-shot run is done."""
        now, wall = monotonic(), unix_time()
        outcomes = self.step(now, wall)
        on_outcomes(outcomes)
        self._announcer.put(outcomes)
        if self._is_watching:
            self._figures.step(outcomes, now, wall)
        self._tell(sum(outcome.state == PhotoState.WRITTEN for outcome in outcomes), wall)
        if outcomes or self._has_edits:
            self._rereader.wake()  # sidecars of the user's that were written to are read again
            return False
        if not self.is_scanning and self._rereader.step(wall):
            return False
        if once:
            if self._is_done(wall):
                return True
            require_hope(self._availability)
        self._interrupts.wait(self._idle_seconds(now, wall))
        return False

    def _idle_seconds(self, now: Monotonic, wall: UnixTime) -> float:
        """Return how long nothing will be due."""
        if self._reconciler.can_advance:
            return 0
        moments = [self._supervisor.deadline() - now, self._next_scan - now]
        deadline = self._stability.deadline(now)
        if deadline is not None:
            moments.append(deadline - now)
        due = self._queue.next_due(WITH_INFERENCE)
        if due is not None:
            moments.append(max(due, wall if self._infers(wall) else self._opens(wall)) - wall)
        due = self._queue.next_due(WITHOUT_INFERENCE)
        if due is not None:
            moments.append(due - wall)
        if self._availability is not None:
            moments.append(self._availability.deadline() - now)
        if self._is_watching:
            moments.append(WATCH_SECONDS)
        return max(0.0, min(moments))

    def _is_done(self, wall: UnixTime) -> bool:
        if self.is_scanning or not self._stability.is_settled:
            return False
        due = self._queue.next_due()
        return due is None or due > wall

    def _infers(self, wall: UnixTime) -> bool:
        """Return whether the model may run now."""
        is_available = self._availability is None or self._availability.is_available
        return is_available and self._is_open(wall)

    def _is_open(self, wall: UnixTime) -> bool:
        return not self._is_watching or self._schedule.is_open(wall)

    def _opens(self, wall: UnixTime) -> float:
        return self._schedule.next_change(wall)

    def _check_clock(self, now: Monotonic, wall: UnixTime) -> None:
        """Notice that the wall clock was set: stored times are wrong, file times doubtful."""
        before, self._clock_offset = self._clock_offset, wall - now
        if before is not None and abs(self._clock_offset - before) > CLOCK_JUMP_SECONDS:
            log.warning("The clock was set; scanning everything")
            # If it was set ahead, or the machine slept, retries that come early do no harm.
            self._queue.clamp_retries(wall, back=max(0.0, before - self._clock_offset))
            self._pipeline.retry()
            if self._is_watching:
                self._scan_all(now)

    def _read_requests(self) -> None:
        for request in self._requests.take():
            if request.is_undo:
                log.info("Asked to take back the tags of %s", printable(request.path))
                self._requests.undo(request.path, unix_time())
                continue
            log.info("Asked to tag %s again", printable(request.path))
            self._requests.retag(request.path, only_failed=request.only_failed)
            self._pipeline.choose_again()
            # A photo that is not known yet is found by a scan.
            top = request.path if os.path.isdir(request.path) else os.path.dirname(request.path)
            self._reconciler.request(top)

    def _apply_edits(self, wall: UnixTime) -> None:
        self._has_edits = self._editing.step(wall)
        if self._editing.is_outdated:
            self._editing.is_outdated = False
            self._pipeline.choose_again()

    def _scan_all(self, now: Monotonic) -> None:
        self._reconciler.request_all()
        interval = self._scan_interval_seconds
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        self._next_scan = Monotonic(now + interval * jitter if interval > 0 else float("inf"))
