"""A watched directory's health: online, degraded or offline.

An unmounted share looks like an empty or missing directory. Nothing is ever concluded
from what is not there unless the root was online before and after the look.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass

from photoramd.database.health import ONLINE, Health, RootState
from photoramd.errors import PhotoramdError, printable
from photoramd.system import beneath
from photoramd.system.mounts import is_below, read_mounts
from photoramd.watch.filters import Filter
from photoramd.watch.scanner import Scan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Identity:
    """The identity of a directory, and whether a file system is mounted on it."""

    device: int
    inode: int
    is_mount: bool


class Root:
    """A watched directory, which alone changes what is known of its health.

    Attributes:
        path: Absolute, without symbolic links.
        filter: Which paths below it count.
        poll: ``auto``, ``always`` or ``never``; see the configuration.
        watch_problem: Why the system reports no events for it, if it does not.
        silence: Which file systems in it report no events and are not polled, if any.
        scan_problem: What the last scan could not read below it, if anything.
        unreadable: The directories that it could not read.
        unmounted: Mount points below it that have nothing mounted any more.
        vanished: How many photos it lost at once, if the last scan found none of them.
        is_new: Whether it is another directory than before, which is not watched yet.
    """

    def __init__(self, path: str, path_filter: Filter, poll: str = "auto") -> None:
        self.path = path
        self.filter = path_filter
        self.poll = poll
        self.watch_problem: PhotoramdError | None = None
        self.silence: PhotoramdError | None = None
        self.scan_problem: PhotoramdError | None = None
        self.unreadable: tuple[str, ...] = ()
        self.unmounted: frozenset[str] = frozenset()
        self.vanished = 0
        self.is_new = True
        self._identity: _Identity | None = None
        # What was there before something was mounted over it.
        self._hidden: _Identity | None = None

    def contains(self, path: str) -> bool:
        """Return whether a path is the root or below it."""
        return is_below(path, self.path)

    def look(self) -> Health | None:
        """Return why the directory cannot be walked now, or None.

        A directory that was created again, or a file system that was mounted again, is accepted
        and makes the root `is_new`. The bare mount point of an unmounted file system is not
        accepted, unless it was before something was mounted over it.
        """
        try:
            status = beneath.look(self.path)
        except OSError as error:
            return Health(
                RootState.OFFLINE,
                f"not there ({error.strerror}); its photos keep their state",
                "mount the share or disk again, or remove the directory from the configuration",
            )
        if not stat.S_ISDIR(status.st_mode):
            return Health(
                RootState.OFFLINE, "not a directory", "correct its path in the configuration"
            )
        if not os.access(self.path, os.R_OK | os.X_OK):
            return Health(
                RootState.OFFLINE,
                "not readable",
                "give photoramd's user read and execute permission",
            )
        is_mount = any(mount.point == self.path for mount in read_mounts())
        identity = _Identity(status.st_dev, status.st_ino, is_mount)
        before = self._identity
        if before and before.is_mount and not is_mount and identity != self._hidden:
            return Health(
                RootState.OFFLINE,
                "its file system is not mounted; its photos keep their state",
                "mount the share or disk again, or restart photoramd if none belongs there",
            )
        if identity != before:
            if before and is_mount and not before.is_mount:
                self._hidden = before
            self._identity = identity
            self.is_new = True
        return None

    def check(self) -> Health:
        """Return the root's health, from the directory itself and what scans and watches found."""
        obstacle = self.look()
        if obstacle is not None:
            return obstacle
        if self.vanished:
            return Health(
                RootState.OFFLINE,
                f"all its {self.vanished} photos have vanished; they keep their state",
                "mount the share or disk again; if the photos were removed on purpose, remove"
                " the directory from the configuration",
            )
        problem = self.scan_problem or self.watch_problem or self.silence
        return Health(RootState.DEGRADED, problem.message, problem.remedy) if problem else ONLINE

    def record_scan(self, scan: Scan) -> None:
        """Record what a complete scan found."""
        self.scan_problem = _scan_problem(scan)
        self.unreadable = tuple(scan.unreadable)
        self.vanished = 0 if scan.present else sum(map(len, scan.absent.values()))

    def forget_unreadable(self) -> None:
        """Forget the directories that the last scan could not read."""
        self.unreadable = ()

    def take_new(self) -> bool:
        """Return whether the directory is new; from now on it is not."""
        was_new, self.is_new = self.is_new, False
        return was_new

    def distrust(self) -> None:
        """Treat the directory as new: its watches may be gone."""
        self.is_new = True

    def record_mounts(self, before: frozenset[str], points: frozenset[str]) -> None:
        """Record that the mount points below it were others before; the directory is new."""
        self.unmounted = (self.unmounted | (before - {self.path})) - points
        self.is_new = True

    def record_watch(self, problem: PhotoramdError | None) -> None:
        """Record why it cannot be watched completely; None if it is."""
        self.watch_problem = problem

    def record_silence(self, problem: PhotoramdError | None) -> None:
        """Record that parts of it report no events; None if all do, or if they are polled."""
        self.silence = problem


def _scan_problem(scan: Scan) -> PhotoramdError | None:
    """Return what a scan could not see, as one problem."""
    if scan.unreadable:
        first, reason = next(iter(scan.unreadable.items()))
        more = f" and {len(scan.unreadable) - 1} more" if len(scan.unreadable) > 1 else ""
        return PhotoramdError(
            f"cannot read {printable(first)}{more}: {reason}",
            path=first,
            remedy="give photoramd's user permission to read it, or exclude it",
        )
    if unmounted := scan.unmounted():
        return PhotoramdError(
            f"a file system with {unmounted} photos below it is not mounted, or another hides it;"
            " they keep their state",
            path=scan.top,
            remedy="mount it again, or take away what hides it",
        )
    return None
