"""Open files safely, write all bytes, and sync directories."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""The errors of file systems that do not support an operation."""


READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""What opens a file for reading without waiting for a pipe's writer or taking a terminal."""


def open_unfollowed(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> int:
    """Open a file for reading, and neither follow a symbolic link nor wait for a pipe's writer.

    The caller checks with ``fstat`` what it has opened.

    Args:
        path: The file.
        dir_fd: The directory that a relative path is looked up in.

    Raises:
        OSError: With ``ELOOP`` for a symbolic link, ``ENXIO`` for a socket.
    """
    return os.open(path, READ_FLAGS, dir_fd=dir_fd)


def why_not_opened(error: OSError | ValueError) -> str:
    """Return why a photo could not be opened, in words."""
    if isinstance(error, ValueError):  # a null byte in the path
        return str(error)
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, or below one, which is not followed"
    if error.errno == errno.ENXIO:
        return "it is a socket, not a photo"
    return f"it cannot be opened: {error.strerror}"


PRIVATE = 0o600
"""The mode of files that only their owner may read."""

GROUP_READABLE = 0o640
"""The mode of files that their group may read, too."""


def create_private(path: str | os.PathLike[str], mode: int = PRIVATE) -> None:
    """Create a file that only its owner may read, whatever the umask; leave one that is there.

    Args:
        path: The file.
        mode: Its mode, if others may do more.

    Raises:
        OSError: From the system; but not that it is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, mode)
    except FileExistsError:
        return
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def make_private(path: str | os.PathLike[str], mode: int = PRIVATE) -> None:
    """Take everybody else's rights to a file of this user's; leave others' files and links.

    The file is not opened: closing any descriptor of a database would release the locks that
    SQLite holds on it in this process (https://sqlite.org/howtocorrupt.html, 2.2).

    Args:
        path: The file.
        mode: What it allows others, they may do; its owner's rights stay.

    Raises:
        OSError: From the system; but not that it is missing.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    before = stat.S_IMODE(status.st_mode)
    wanted = before & ~0o077 | mode & 0o077
    if stat.S_ISREG(status.st_mode) and before != wanted and status.st_uid == os.geteuid():
        os.chmod(path, wanted)


def require_readable(path: Path) -> os.stat_result:
    """Return the status of a database that may be read. It is not opened: see `make_private`.

    Raises:
        OSError: It may not be read, is missing, or is a directory.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return status


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all bytes to a descriptor, which may take fewer at a time.

    Raises:
        OSError: From the system.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_open_directory(fd: int) -> None:
    """Write a directory's names to the disk, where the file system can.

    Raises:
        OSError: From the system.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        # Some file systems have nothing to write back for a directory.
        if error.errno not in UNSUPPORTED:
            raise


def sync_directory(path: Path) -> None:
    """Open a directory and write its names to the disk, where the file system can.

    Raises:
        OSError: From the system.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_open_directory(fd)
    finally:
        os.close(fd)


def lock_within(fd: int, seconds: float) -> None:
    """Take the lock of an open file or directory (flock(2)), when others have left it.

    Raises:
        BlockingIOError: They have not for so long.
        OSError: From the system.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
