"""Reach the user's files without following a symbolic link, at the end of a path or before it.

The configuration and the commands have resolved the links in what they were given, once. A link
that is met later was put there since, perhaps by somebody who may write where photoramd may not
look. So paths are resolved by openat2(2) without links; before Linux 5.6, or where a filter forbids
it, level by level.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path

from photoramd.photo import Fingerprint
from photoramd.system.files import READ_FLAGS, open_unfollowed, sync_open_directory

StrPath = str | os.PathLike[str]

_OPENAT2, _AT_FDCWD = 437, -100
_NO_MAGICLINKS, _NO_SYMLINKS = 0x02, 0x04
_TRIES = 8
"""EAGAIN: something was renamed meanwhile."""

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_has_openat2 = True

_allowed: Mapping[str, int] | None = None


def allow_only(files: Mapping[str, int]) -> None:
    """Let `open_read` open these files only, from now on: a confined process has no others.

    Args:
        files: Open files by the paths that they are opened by.
    """
    global _allowed
    _allowed = files


def named(path: Path) -> Path:
    """Return a path that a user has named, with the links in its directories resolved, once."""
    return Path(os.path.realpath(path.parent), path.name)


def open_read(path: StrPath) -> int:
    """Open a file for reading; wait for no pipe's writer.

    The caller checks with ``fstat`` what it has opened.

    Raises:
        OSError: With ``ELOOP`` for a symbolic link, anywhere in the path, ``ENXIO`` for a socket.
        ValueError: The path has a null byte.
    """
    if _allowed is None:
        return _open(path, READ_FLAGS)
    given = _allowed.get(os.fsdecode(path))
    if given is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    fd = os.dup(given)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def open_directory(path: StrPath) -> int:
    """Open a directory, such as for `os.scandir`.

    Raises:
        OSError: With ``ELOOP`` or ``ENOTDIR`` for a symbolic link.
    """
    return _open(path, _DIRECTORY)


def look(path: StrPath) -> os.stat_result:
    """Return the status of a file, or of a symbolic link itself.

    Raises:
        OSError: With ``ELOOP`` for a symbolic link before the last part of the path.
    """
    fd = _open(path, _PATH)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def exists(path: StrPath) -> bool:
    """Return whether there is something at a path; what a link leads to is not there."""
    try:
        look(path)
    except (OSError, ValueError):
        return False
    return True


def fingerprint(path: StrPath) -> Fingerprint | None:
    """Return the fingerprint of a regular file, or None if there is none at that path."""
    try:
        status = look(path)
    except (OSError, ValueError):
        return None
    return Fingerprint.of(status) if stat.S_ISREG(status.st_mode) else None


class Directory:
    """An open directory, whose files are reached by their names in it. A context manager.

    Args:
        path: The directory.

    Raises:
        OSError: With ``ELOOP`` or ``ENOTDIR`` for a symbolic link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = open_directory(path)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it, if it is open."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def is_in_its_place(self) -> bool:
        """Return whether its path still leads to it."""
        try:
            return os.path.samestat(look(self.path), os.fstat(self.fd))
        except OSError:
            return False

    def look(self, name: str) -> os.stat_result | None:
        """Return the status of a file in it, of a link itself; None if there is none.

        Raises:
            OSError: From the system.
        """
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open_read(self, name: str) -> int:
        """Open a file in it; see the function of that name."""
        return open_unfollowed(name, dir_fd=self.fd)

    def create(self, name: str) -> int:
        """Create a file in it for writing, which only this user may read or write.

        Raises:
            OSError: From the system; ``FileExistsError`` if there is one.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(name, flags, 0o600, dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        """Remove a file from it.

        Raises:
            OSError: From the system.
        """
        os.unlink(name, dir_fd=self.fd)

    def rename(self, source: str, target: str) -> None:
        """Give a file in it another name, and replace what has that name.

        Raises:
            OSError: From the system.
        """
        os.rename(source, target, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def names(self) -> list[str]:
        """Return the names in it.

        Raises:
            OSError: From the system.
        """
        return os.listdir(self.fd)

    def sync(self) -> None:
        """Write its names to the disk, where the file system can.

        Raises:
            OSError: From the system.
        """
        sync_open_directory(self.fd)


def _open(path: StrPath, flags: int) -> int:
    """Open a path without following links in any part of it."""
    global _has_openat2
    if _has_openat2:
        try:
            return _openat2(path, flags)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.E2BIG):
                raise
            # EPERM may also be the answer about this one file; then both ways give it.
            _has_openat2 = error.errno == errno.EPERM and _is_allowed()
    return open_level_by_level(path, flags)


def _is_allowed() -> bool:
    """Return whether openat2 may be called at all."""
    try:
        os.close(_openat2("/", _PATH))
    except OSError:
        return False
    return True


def _openat2(path: StrPath, flags: int) -> int:
    # struct open_how
    how = struct.pack("=QQQ", flags, 0, _NO_SYMLINKS | _NO_MAGICLINKS)
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    for _ in range(_TRIES):
        fd = int(_libc.syscall(_OPENAT2, _AT_FDCWD, name, how, ctypes.c_size_t(len(how))))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), os.fspath(path))


def open_level_by_level(path: StrPath, flags: int) -> int:
    """Open a path as `open_read` does, by a descriptor for each of its directories.

    Args:
        path: The path.
        flags: Of open(2).

    Raises:
        OSError: As `open_read`.
    """
    *above, name = Path(path).parts or (".",)
    here: int | None = None
    try:
        for part in above:
            try:
                below = os.open(part, _PATH | os.O_DIRECTORY, dir_fd=here)
            except NotADirectoryError as error:
                status = os.stat(part, dir_fd=here, follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path)) from error
                raise
            if here is not None:
                os.close(here)
            here = below
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        if here is not None:
            os.close(here)
