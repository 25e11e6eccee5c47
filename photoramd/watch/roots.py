"""A watched directory's health: online, degraded or offline.

An unmounted share looks like an empty or missing directory. Nothing is ever concluded
from what is not there unless the root was online before and after the look.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass

from photoramd.database.roots import ONLINE, Health, RootState
from photoramd.errors import PhotoramdError
from photoramd.system.mounts import is_below, read_mounts
from photoramd.watch.filters import Filter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Identity:
    """Which directory this is, and whether a file system is mounted right there."""

    device: int
    inode: int
    is_mount: bool


class Root:
    """A watched directory.

    Attributes:
        path: Absolute, without symbolic links.
        filter: Which paths below it count.
        poll: ``auto``, ``always`` or ``never``; see the configuration.
        watch_problem: Why the system reports no events for it, if so.
        silence: What reports no events by its nature, and is not to be polled.
        scan_problem: What the last scan could not read below it, if anything.
        unreadable: The directories that it could not read.
        unmounted: Where below it something was mounted that is not now.
        vanished: How many photos it lost at once, if the last scan found none of them.
        is_new: Whether another directory than before is there, which nobody has watched yet.
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
        """Whether a path is the root or below it."""
        return is_below(path, self.path)

    def look(self) -> Health | None:
        """Look at the directory itself: why it cannot be walked now, or None.

        A directory that was made anew, or a file system that was mounted anew, is accepted
        and makes the root `is_new`. The bare mount point of an unmounted file system is not,
        unless it was accepted before something was mounted over it.
        """
        try:
            status = os.stat(self.path, follow_symlinks=False)
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
        """The root's health: the directory itself, and what scans and watches found."""
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
