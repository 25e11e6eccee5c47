"""Supervise the watched directories: are they there, and does the system report all changes?

Events get lost silently: a directory can be unmounted, replaced or left without a watch while all
threads live. So every root is checked every few seconds, the watches are compared with the
directories that scans saw, and what cannot be watched is walked instead. Whatever is found, the
answer is a scan.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from photoramd.clock import Monotonic, UnixTime
from photoramd.database.health import Health, RootState
from photoramd.database.queue import Queue
from photoramd.database.roots import HealthStore
from photoramd.errors import PhotoramdError, printable
from photoramd.system.mounts import Mount, is_below, read_mounts, silent_parts
from photoramd.watch.reconciler import FinishedScan
from photoramd.watch.roots import Root
from photoramd.watch.watcher import Watcher, explain, watched_files

log = logging.getLogger(__name__)

VISIT_SECONDS = 5.0
"""How often the roots themselves are checked."""

HOLD_SECONDS = 60.0
"""How far ahead the photos of an offline root are put off."""

CONFIRM_SECONDS = 2.0
"""A directory counts as unwatched if two checks, this far apart, agree: it may be new."""

RETRY_SECONDS = 60.0
RETRY_LIMIT_SECONDS = 3600.0
"""When watching is tried again where it failed: doubling, up to the limit."""

POLL_FACTOR = 20
"""Polling takes at most this fraction of the time: one in twenty."""


@dataclass(slots=True)
class _Entry:
    """A supervised root."""

    root: Root
    is_offline: bool = False
    held_at: float = float("-inf")
    retry_at: float | None = None
    retries: int = 0
    # Device and inode of the directories that scans saw; those found unwatched once.
    directories: dict[str, tuple[int, int]] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    mounts: frozenset[Mount] | None = None
    # When to walk next what cannot be watched, by its top.
    polls: dict[str, float] = field(default_factory=dict)


class Supervisor:
    """Checks the roots, their watches and what has to be polled.

    Args:
        roots: The watched directories.
        health: Where their health is recorded.
        queue: Whose photos are put off while their root is offline.
        request: Asks for a scan of a directory.
        poll_seconds: The shortest time between two walks of what cannot be watched.
        audit_seconds: The time between two comparisons of watches and directories.
    """

    def __init__(
        self,
        roots: Sequence[Root],
        health: HealthStore,
        queue: Queue,
        request: Callable[[str], None],
        *,
        poll_seconds: float = 60,
        audit_seconds: float = 60,
    ) -> None:
        self._entries = {root.path: _Entry(root) for root in roots}
        self._health = health
        self._queue = queue
        self._request = request
        self._poll_seconds = poll_seconds
        self._audit_seconds = audit_seconds
        self._visit_seconds = min(VISIT_SECONDS, audit_seconds)
        self._watcher: Watcher | None = None
        self._next_visit = float("-inf")
        self._next_audit = float("inf")

    def begin(self, watcher: Watcher, now: Monotonic, wall: UnixTime) -> None:
        """Arm the watches of all roots that are online, and ask for a scan of each."""
        self._watcher = watcher
        self._next_audit = now + self._audit_seconds
        self._check_all(now, wall)

    def step(self, now: Monotonic, wall: UnixTime) -> None:
        """Do what is due."""
        if now >= self._next_visit:
            self._check_all(now, wall)
        if self._watcher is not None and now >= self._next_audit:
            self._next_audit = now + self._audit_seconds
            for entry in self._entries.values():
                self._look_at_unreadable(entry)
                self._audit(entry, now, wall)
        for entry in self._entries.values():
            for top, moment in entry.polls.items():
                if now >= moment and not entry.is_offline:
                    entry.polls[top] = float("inf")  # until the scan ends
                    self._request(top)

    def retry(self, now: Monotonic) -> None:
        """Retry everything deferred, at the operator's request."""
        for entry in self._entries.values():
            if entry.retry_at is not None:
                entry.retry_at, entry.retries = now, 1
            if not entry.is_offline:
                self._queue.release(entry.root.path)
        self._next_visit = now

    def deadline(self) -> Monotonic:
        """Return when `step` next has something to do."""
        polls = [m for entry in self._entries.values() for m in entry.polls.values()]
        return Monotonic(min([self._next_visit, self._next_audit, *polls]))

    def unhealthy(self) -> dict[str, Health]:
        """Return the health of the roots that were not online when last checked."""
        return self._health.unhealthy()

    def is_offline(self, root: Root) -> bool:
        """Return whether a root's photos are left alone now."""
        return self._entries[root.path].is_offline

    def record_scan(self, finished: FinishedScan, now: Monotonic, wall: UnixTime) -> None:
        """Take note of the directories that a scan saw, and check the root after a whole one."""
        scan = finished.scan
        entry = self._entries[finished.root.path]
        if finished.is_whole:
            entry.directories.clear()
        entry.directories |= scan.directories
        for top in entry.polls:
            if is_below(top, scan.top):
                entry.polls[top] = now + max(self._poll_seconds, POLL_FACTOR * finished.seconds)
        if finished.is_whole:
            self._check(entry, now, wall)
            self._audit(entry, now, wall)

    def _check_all(self, now: Monotonic, wall: UnixTime) -> None:
        self._next_visit = now + self._visit_seconds
        for entry in self._entries.values():
            self._check(entry, now, wall)

    def _check(self, entry: _Entry, now: Monotonic, wall: UnixTime) -> None:
        """Check one root, and act if it went offline or came back."""
        root = entry.root
        health = root.check()
        was_offline = entry.is_offline or self._health.was_offline(root.path)
        entry.is_offline = health.state == RootState.OFFLINE
        self._health.record(root.path, health, wall)
        if entry.is_offline:
            # Photos that are not there are put off, not failed.
            if now - entry.held_at >= HOLD_SECONDS / 2:
                entry.held_at = now
                self._queue.hold(root.path, UnixTime(wall + HOLD_SECONDS))
            if root.vanished:
                self._arm_if_new(entry, now, wall)
                entry.polls.setdefault(root.path, now + self._poll_seconds)
            return
        entry.held_at = float("-inf")
        if was_offline:
            # Even if the same directory is back, its watches are gone.
            root.distrust()
            self._queue.release(root.path)
            self._request(root.path)
        self._notice_mounts(entry)
        self._arm_if_new(entry, now, wall)
        if entry.retry_at is not None and now >= entry.retry_at:
            self._arm(entry, now, wall)

    def _notice_mounts(self, entry: _Entry) -> None:
        """Notice mount points inside a root, which come and go without an event."""
        path = entry.root.path
        mounts = frozenset(mount for mount in read_mounts() if is_below(mount.point, path))
        if entry.mounts is not None and mounts != entry.mounts:
            log.info("%s: what is mounted below it has changed", printable(path))
            entry.root.record_mounts(
                frozenset(mount.point for mount in entry.mounts),
                frozenset(mount.point for mount in mounts),
            )
        entry.mounts = mounts

    def _arm_if_new(self, entry: _Entry, now: Monotonic, wall: UnixTime) -> None:
        if entry.root.take_new():
            entry.retries = 0
            self._arm(entry, now, wall)

    def _arm(self, entry: _Entry, now: Monotonic, wall: UnixTime) -> None:
        """Watch a root, then scan it: in the other order, files would fall into the gap."""
        root = entry.root
        entry.retry_at = None
        if self._watcher is None:
            return
        problem = self._watcher.arm(root.path)
        self._set_polls(entry, now)
        self._request(root.path)
        self._next_audit = min(self._next_audit, now + CONFIRM_SECONDS)
        if problem is not None:
            self._degrade(entry, problem, now, wall)

    def _degrade(
        self, entry: _Entry, problem: PhotoramdError, now: Monotonic, wall: UnixTime
    ) -> None:
        """Poll a root that cannot be watched completely, and try again later."""
        is_polled = entry.root.poll != "never"
        entry.root.record_watch(_with_consequence(problem, is_polled=is_polled))
        entry.retry_at = now + min(RETRY_SECONDS * 2**entry.retries, RETRY_LIMIT_SECONDS)
        entry.retries += 1
        if is_polled:
            entry.polls.setdefault(entry.root.path, now + self._poll_seconds)
        self._health.record(entry.root.path, entry.root.check(), wall)

    def _set_polls(self, entry: _Entry, now: Monotonic) -> None:
        """Decide which parts are walked regardless of watches."""
        root = entry.root
        tops = {root.path} if root.poll == "always" else set()
        silent = silent_parts(root.path, read_mounts())
        if root.poll == "auto":
            tops |= silent.keys()
        root.record_silence(_silence(silent) if root.poll == "never" else None)
        # A walk of the root covers the mount points in it.
        tops = {root.path} if root.path in tops else tops
        entry.polls = {top: entry.polls.get(top, now + self._poll_seconds) for top in tops}

    def _look_at_unreadable(self, entry: _Entry) -> None:
        """Ask for a scan if a directory that could not be read now can be."""
        unreadable = entry.root.unreadable
        if not entry.is_offline and not all(map(_is_unreadable, unreadable)):
            entry.root.forget_unreadable()  # until the scan finds them again
            self._request(entry.root.path)

    def _audit(self, entry: _Entry, now: Monotonic, wall: UnixTime) -> None:
        """Compare the watches with the directories; arm again if some are unwatched."""
        root, watcher = entry.root, self._watcher
        if watcher is None or entry.is_offline or entry.retry_at is not None:
            return
        if not watcher.is_alive(root.path):
            log.warning("%s: its watch has ended; it begins anew", printable(root.path))
            watcher.disarm(root.path)
            self._arm(entry, now, wall)
            return
        mounts = read_mounts()
        silent = silent_parts(root.path, mounts)
        # Inode numbers are unreliable there, and it is walked anyway.
        loud = {
            path: identity
            for path, identity in entry.directories.items()
            if not any(is_below(path, top) for top in silent)
        }
        unwatched = _unwatched(loud, mounts)
        confirmed = unwatched & entry.suspects
        entry.suspects = unwatched
        if not unwatched:
            entry.retries = 0
            if root.watch_problem is not None:
                root.record_watch(None)
                self._set_polls(entry, now)
                self._health.record(root.path, root.check(), wall)
        elif not confirmed:
            self._next_audit = min(self._next_audit, now + CONFIRM_SECONDS)
        elif entry.retries == 0:
            log.info(
                "%s: %d of its directories are not watched; its watch begins anew",
                printable(root.path),
                len(confirmed),
            )
            entry.retries = 1
            self._arm(entry, now, wall)
        else:
            self._degrade(entry, explain(root.path, errno.ENOSPC, ""), now, wall)


def _with_consequence(problem: PhotoramdError, *, is_polled: bool) -> PhotoramdError:
    """Return a watch problem with what it means for the user."""
    consequence = "it is looked through regularly instead" if is_polled else _ONLY_SCANS
    return PhotoramdError(
        f"{problem.message}; {consequence}", path=problem.path, remedy=problem.remedy
    )


_ONLY_SCANS = 'because of poll = "never", only the regular scans find what is new there'


def _silence(parts: dict[str, str]) -> PhotoramdError | None:
    """Return what it means that parts of a root report no events."""
    if not parts:
        return None
    top, kind = next(iter(parts.items()))
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return PhotoramdError(
        f"{printable(top)}{more} is on {kind}, which does not report all changes; {_ONLY_SCANS}",
        path=top,
        remedy='set poll = "auto" for it, unless something else asks for scans (SIGHUP)',
    )


def _is_unreadable(directory: str) -> bool:
    """Return whether a directory still cannot be read; one that is gone does not count."""
    try:
        os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return not os.access(directory, os.R_OK | os.X_OK)


def _unwatched(directories: dict[str, tuple[int, int]], mounts: list[Mount]) -> frozenset[str]:
    """Return the directories without a watch; forget those that are gone."""
    watched = watched_files()
    inodes = {inode for _, inode in watched}
    devices = {mount.device for mount in mounts}

    def is_watched(identity: tuple[int, int]) -> bool:
        # Some file systems (btrfs) show other device numbers than the kernel has for them.
        device, inode = identity
        return identity in watched or (device not in devices and inode in inodes)

    found = set()
    for path, identity in list(directories.items()):
        if is_watched(identity):
            continue
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            del directories[path]
            continue
        directories[path] = (status.st_dev, status.st_ino)
        if not is_watched(directories[path]):
            found.add(path)
    return frozenset(found)
