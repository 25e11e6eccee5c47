"""The lock beside the database: only one process owns it at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from photoramd.database.errors import store_error
from photoramd.errors import LockedError
from photoramd.system.files import PRIVATE, lock_within, make_private

_PROBE_SECONDS = 0.5
"""A lock that is held for longer is another owner's, not that of a `holder` call."""


class Lock:
    """An advisory lock beside the database; the kernel releases it when the process ends."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock and leave the process id in its file.

        Raises:
            LockedError: Another process holds it.
            StoreError: The lock file cannot be created.
        """
        try:
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
            # Whoever may open it may hold it, too, and so keep this process from starting.
            make_private(self.path)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        except OSError as error:
            raise store_error(self.path, error) from error
        try:
            # A call of `holder` may hold it for a moment.
            lock_within(fd, _PROBE_SECONDS)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise LockedError(
                f"another photoramd{f' (process {holder})' if holder else ''} owns this database",
                path=self.path.with_name(self.path.name.removesuffix(".lock")),
                remedy="stop it first, or leave the work to it: it finds new photos by itself, and"
                " photoramd retag PATH asks it to look at once",
            ) from error
        # The number is for people; the lock holds without it, even on a full disk.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def holder(database: Path) -> int | None:
    """Return the process id of the owner of a database; 0 if unknown, None if there is none."""
    path = database.with_name(database.name + ".lock")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return _holder_by_list(path)
    except OSError:
        return None
    try:
        try:
            # A shared lock, so simultaneous calls do not see each other.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            return int(text) if text.isdigit() else 0
        return None
    finally:
        os.close(fd)


def _holder_by_list(path: Path) -> int | None:
    """Return what `holder` does, for a user who may not open the lock: the kernel lists all locks.

    Source of the format: proc_locks(5), which writes devices as the kernel numbers them, for some
    file systems in another way than stat(2). Locks by flock(2) of this inode number are ours.
    """
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        match line.split():
            case [_, "FLOCK", _, "WRITE", process, file, *_] if file.rpartition(":")[2] == inode:
                return max(0, int(process))
    return None
