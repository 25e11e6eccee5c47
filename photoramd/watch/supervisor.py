"""Goes round the watched directories: are they there, and does the system report everything?

Events get lost without a word: a directory can be unmounted, replaced or left without a
watch while all threads live. So every root is looked at every few seconds, the watches are
compared with the directories that scans saw, and what cannot be watched is walked instead.
Whatever is found, the answer is a scan.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from photoramd.clock import UnixTime
from photoramd.database.queue import Queue
from photoramd.database.roots import Health, HealthStore, RootState
from photoramd.errors import PhotoramdError, printable
from photoramd.system.mounts import Mount, is_below, read_mounts, silent_parts
from photoramd.watch.roots import Root
from photoramd.watch.scanner import Scan
from photoramd.watch.watcher import Watcher, explain, watched_files

log = logging.getLogger(__name__)

VISIT_SECONDS = 5.0
"""How often the roots themselves are looked at."""

HOLD_SECONDS = 60.0
"""How far ahead the photos of a root that is not there are put off."""

CONFIRM_SECONDS = 2.0
"""A directory counts as unwatched if it is so twice, this far apart: it may be new."""

RETRY_SECONDS = 60.0
RETRY_LIMIT_SECONDS = 3600.0
"""When watching is tried again where it was not possible: doubling, up to the limit."""

POLL_FACTOR = 20
"""Walking may take this share of the time."""


@dataclass(slots=True)
class _Post:
    """A root on the round. Times are monotonic."""

    root: Root
    is_offline: bool = False
    held_at: float = float("-inf")
    retry_at: float | None = None
    retries: int = 0
    # What scans saw, by path; what was found unwatched and is to be confirmed.
    directories: dict[str, tuple[int, int]] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    mounts: frozenset[Mount] | None = None
    # What has to be walked because it cannot be watched: when next, by top.
    polls: dict[str, float] = field(default_factory=dict)


class Supervisor:
    """The round. All times are monotonic ``now`` and Unix ``wall``, in seconds."""

    def __init__(
        self,
        roots: Sequence[Root],
        book: HealthStore,
        queue: Queue,
        request: Callable[[str], None],
        *,
        poll_seconds: float = 60,
        audit_seconds: float = 60,
    ) -> None:
        """Make a patrol; ``request`` asks for a scan of a directory."""
        self._posts = {root.path: _Post(root) for root in roots}
        self._book = book
        self._queue = queue
        self._request = request
        self._poll_seconds = poll_seconds
        self._audit_seconds = audit_seconds
        self._visit_seconds = min(VISIT_SECONDS, audit_seconds)
        self._watcher: Watcher | None = None
        self._next_visit = float("-inf")
        self._next_audit = float("inf")

    def begin(self, watcher: Watcher, now: float, wall: UnixTime) -> None:
        """Arm the watches of all roots that are there, and ask for a scan of each."""
        self._watcher = watcher
        self._next_audit = now + self._audit_seconds
        self._round(now, wall)

    def step(self, now: float, wall: UnixTime) -> None:
        """Do what is due."""
        if now >= self._next_visit:
            self._round(now, wall)
        if self._watcher is not None and now >= self._next_audit:
            self._next_audit = now + self._audit_seconds
            for post in self._posts.values():
                self._look_at_unreadable(post)
                self._audit(post, now, wall)
        for post in self._posts.values():
            for top, moment in post.polls.items():
                if now >= moment and not post.is_offline:
                    post.polls[top] = float("inf")  # until the scan ends
                    self._request(top)

    def retry(self, now: float) -> None:
        """Somebody mended something: try at once what was not possible."""
        for post in self._posts.values():
            if post.retry_at is not None:
                post.retry_at, post.retries = now, 1
            if not post.is_offline:
                self._queue.release(post.root.path)
        self._next_visit = now

    def deadline(self) -> float:
        """When `step` next has something to do."""
        polls = [m for post in self._posts.values() for m in post.polls.values()]
        return min([self._next_visit, self._next_audit, *polls])

    def may_walk(self, root: Root, wall: UnixTime) -> bool:
        """Whether a scan of a root makes sense now."""
        obstacle = root.look()
        if obstacle is not None:
            self._book.record(root.path, obstacle, wall)
        return obstacle is None

    def troubles(self) -> dict[str, Health]:
        """The health of the roots that were not online when they were last looked at."""
        return self._book.unhealthy()

    def is_offline(self, root: Root) -> bool:
        """Whether a root's photos are to be left alone."""
        return self._posts[root.path].is_offline

    def walked(self, root: Root, scan: Scan, seconds: float, now: float, wall: UnixTime) -> None:
        """A scan of a root or of a part of it has ended; it took so long."""
        post = self._posts[root.path]
        is_whole = scan.top == root.path
        if is_whole:
            post.directories.clear()
        post.directories |= scan.directories
        for top in post.polls:
            if is_below(top, scan.top):
                post.polls[top] = now + max(self._poll_seconds, POLL_FACTOR * seconds)
        if is_whole:
            self._visit(post, now, wall)
            self._audit(post, now, wall)

    def _round(self, now: float, wall: UnixTime) -> None:
        self._next_visit = now + self._visit_seconds
        for post in self._posts.values():
            self._visit(post, now, wall)

    def _visit(self, post: _Post, now: float, wall: UnixTime) -> None:
        """Look at one root; if it went or came back, act."""
        root = post.root
        health = root.check()
        was_offline = post.is_offline or self._book.was_offline(root.path)
        post.is_offline = health.state == RootState.OFFLINE
        self._book.record(root.path, health, wall)
        if post.is_offline:
            # What is not there is put off, not failed.
            if now - post.held_at >= HOLD_SECONDS / 2:
                post.held_at = now
                self._queue.hold(root.path, UnixTime(wall + HOLD_SECONDS))
            if root.vanished:
                self._arm_if_new(post, now, wall)
                post.polls.setdefault(root.path, now + self._poll_seconds)
            return
        post.held_at = float("-inf")
        if was_offline:
            # The same directory may be back: its watches went with it all the same.
            root.is_new = True
            self._queue.release(root.path)
            self._request(root.path)
        self._notice_mounts(post)
        self._arm_if_new(post, now, wall)
        if post.retry_at is not None and now >= post.retry_at:
            self._arm(post, now, wall)

    def _notice_mounts(self, post: _Post) -> None:
        """Mount points inside a root come and go without an event: the root is new then."""
        path = post.root.path
        mounts = frozenset(mount for mount in read_mounts() if is_below(mount.point, path))
        if post.mounts is not None and mounts != post.mounts:
            log.info("%s: what is mounted below it has changed", printable(path))
            post.root.is_new = True
            before, points = post.root.unmounted, {mount.point for mount in mounts}
            gone = {mount.point for mount in post.mounts if mount.point != path}
            post.root.unmounted = (before | gone) - points
        post.mounts = mounts

    def _arm_if_new(self, post: _Post, now: float, wall: UnixTime) -> None:
        if post.root.is_new:
            post.root.is_new = False
            post.retries = 0
            self._arm(post, now, wall)

    def _arm(self, post: _Post, now: float, wall: UnixTime) -> None:
        """Watch a root and have it scanned: in this order, else files fall into the gap."""
        root = post.root
        post.retry_at = None
        if self._watcher is None:
            return
        problem = self._watcher.arm(root.path)
        self._set_polls(post, now)
        self._request(root.path)
        self._next_audit = min(self._next_audit, now + CONFIRM_SECONDS)
        if problem is not None:
            self._degrade(post, problem, now, wall)

    def _degrade(self, post: _Post, problem: PhotoramdError, now: float, wall: UnixTime) -> None:
        """A root, or a part of it, cannot be watched: walk it, and try again later."""
        is_polled = post.root.poll != "never"
        post.root.watch_problem = _with_consequence(problem, is_polled=is_polled)
        post.retry_at = now + min(RETRY_SECONDS * 2**post.retries, RETRY_LIMIT_SECONDS)
        post.retries += 1
        if is_polled:
            post.polls.setdefault(post.root.path, now + self._poll_seconds)
        self._book.record(post.root.path, post.root.check(), wall)

    def _set_polls(self, post: _Post, now: float) -> None:
        """What has to be walked whatever the watches say."""
        root = post.root
        tops = {root.path} if root.poll == "always" else set()
        silent = silent_parts(root.path, read_mounts())
        if root.poll == "auto":
            tops |= silent.keys()
        root.silence = _silence(silent) if root.poll == "never" else None
        # The root's own walk covers the mount points in it.
        tops = {root.path} if root.path in tops else tops
        post.polls = {top: post.polls.get(top, now + self._poll_seconds) for top in tops}

    def _look_at_unreadable(self, post: _Post) -> None:
        """A directory that could not be read, and now can, is scanned at once."""
        unreadable = post.root.unreadable
        if not post.is_offline and not all(map(_is_unreadable, unreadable)):
            post.root.unreadable = ()  # until the scan tells anew
            self._request(post.root.path)

    def _audit(self, post: _Post, now: float, wall: UnixTime) -> None:
        """Compare the watches with the directories; what is amiss is armed anew."""
        root, watcher = post.root, self._watcher
        if watcher is None or post.is_offline or post.retry_at is not None:
            return
        if not watcher.is_alive(root.path):
            log.warning("%s: its watch has ended; it begins anew", printable(root.path))
            watcher.disarm(root.path)
            self._arm(post, now, wall)
            return
        mounts = read_mounts()
        silent = silent_parts(root.path, mounts)
        # Inode numbers mean little there, and it is walked anyway.
        loud = {
            path: identity
            for path, identity in post.directories.items()
            if not any(is_below(path, top) for top in silent)
        }
        unwatched = _unwatched(loud, mounts)
        confirmed = unwatched & post.suspects
        post.suspects = unwatched
        if not unwatched:
            post.retries = 0
            if root.watch_problem is not None:
                root.watch_problem = None
                self._set_polls(post, now)
                self._book.record(root.path, root.check(), wall)
        elif not confirmed:
            self._next_audit = min(self._next_audit, now + CONFIRM_SECONDS)
        elif post.retries == 0:
            log.info(
                "%s: %d of its directories are not watched; its watch begins anew",
                printable(root.path),
                len(confirmed),
            )
            post.retries = 1
            self._arm(post, now, wall)
        else:
            self._degrade(post, explain(root.path, errno.ENOSPC, ""), now, wall)


def _with_consequence(problem: PhotoramdError, *, is_polled: bool) -> PhotoramdError:
    """What it means for the user that a root cannot be watched."""
    consequence = "it is looked through regularly instead" if is_polled else _ONLY_SCANS
    return PhotoramdError(
        f"{problem.message}; {consequence}", path=problem.path, remedy=problem.remedy
    )


_ONLY_SCANS = 'because of poll = "never", only the regular scans find what is new there'


def _silence(parts: dict[str, str]) -> PhotoramdError | None:
    """What it means that parts of a root, by their file systems' types, report no events."""
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
    """Whether a directory that could not be read still cannot be; if it went, it can."""
    try:
        os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return not os.access(directory, os.R_OK | os.X_OK)


def _unwatched(directories: dict[str, tuple[int, int]], mounts: list[Mount]) -> frozenset[str]:
    """The directories that no watch covers; those that are gone are forgotten."""
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
