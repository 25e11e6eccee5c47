"""The model store: directories with models' files, which only trusted users can change.

    STORE/ram++/ram_plus_swin_large_14m.pth
    STORE/torchvision-efficientnet_b0/efficientnet_b0_rwightman-7f5810bc.pth
    STORE/torchvision-efficientnet_b0/efficientnet_b0_rwightman-7f5810bc.pth.sha256
    STORE/.partial/…                    files that are not whole yet

A file gets its name in one step, when it is whole, verified and on the disk. A ``.sha256``
file, in the format of sha256sum(1), notes the digest of a file that is not pinned in full.

A digest is worth nothing if somebody else can change the bytes after they were hashed. So a
file counts only if it and the two directories above it belong to root or to this user and
are writable for nobody else, and if none of the three is a symbolic link.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from photoramd.errors import IntegrityError, ModelError, printable
from photoramd.system import paths
from photoramd.system.files import open_unfollowed, sync_directory, write_all

SYSTEM_STORE = paths.SYSTEM_DATABASE.parent / "models"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_RECORD = re.compile(r"([0-9a-f]{64}) [ *]")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class BusyError(ModelError):
    """Another process is working on the same file."""


@dataclass(frozen=True, slots=True)
class ModelStore:
    """One such directory; it need not exist yet.

    Attributes:
        root: Its absolute path, without symbolic links: an administrator may have linked the
            whole store to a larger disk, so links in its path are followed, once.
    """

    root: Path

    def path(self, folder: str, name: str) -> Path:
        """Return where a file is, or would be."""
        return self.root / folder / name

    def free_bytes(self) -> int:
        """Return how many bytes this user can still write there.

        Raises:
            ModelError: The file system does not say.
        """
        # Unlike `Path.exists`, this takes a directory that cannot be searched for a missing one.
        place = next(path for path in (self.root, *self.root.parents) if os.path.exists(path))
        try:
            status = os.statvfs(place)
        except OSError as error:
            raise store_error(error, place) from error
        return status.f_bavail * status.f_frsize

    def partial_path(self, name: str) -> Path:
        """Return where a file is kept while it is not whole yet."""
        return self.root / ".partial" / f"{name}.part"

    @contextmanager
    def partial(self, name: str) -> Iterator[BinaryIO]:
        """Open a file that is not whole yet, new or from an earlier attempt.

        It stays for the next attempt when the context is left, unless it was installed or
        discarded. No other user can open it, and only one process at a time works on it.

        Raises:
            IntegrityError: Others could change files in the store.
            ModelError: It cannot be written, or another process is working on it.
        """
        path = self.partial_path(name)
        try:
            self._make(self.root, 0o755)
            self._make(path.parent, 0o700)
            file = _open_locked(path)
        except OSError as error:
            raise store_error(error, path) from error
        try:
            yield file
        finally:
            # What was not written for lack of space cannot be written now either; the file
            # is unbuffered, so nothing is lost.
            file.close()

    def discard(self, name: str) -> None:
        """Delete a file that is not whole, or not right.

        Raises:
            ModelError: It cannot be deleted.
        """
        path = self.partial_path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise store_error(error, path) from error

    def sweep(self, keep: Callable[[str], bool]) -> None:
        """Delete files that killed processes left, except those that can be resumed.

        Raises:
            ModelError: It cannot be done.
        """
        directory = self.root / ".partial"
        try:
            names = [path.name.removesuffix(".part") for path in directory.iterdir()]
        except OSError:
            return  # none there, or not ours: `partial` says more
        for name in names:
            if not keep(name):
                with suppress(BusyError), self.partial(name):
                    self.discard(name)

    def install(self, partial: str, file: BinaryIO, folder: str, name: str) -> Path:
        """Give a whole and verified file its name; return its path.

        Args:
            partial: Its name so far.
            file: The file that `partial` opened.
            folder: The directory that it goes to.
            name: Its name there.

        Raises:
            ModelError: It cannot be done.
        """
        target = self.path(folder, name)
        try:
            self._make(target.parent, 0o755)
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            self.partial_path(partial).replace(target)
            sync_directory(target.parent)
            sync_directory(self.root)
        except OSError as error:
            raise store_error(error, target) from error
        return target

    def record(self, folder: str, name: str, digest: str) -> None:
        """Note a file's digest beside it.

        Raises:
            ModelError: It cannot be written.
        """
        partial = f"{name}.sha256"
        with self.partial(partial) as file:
            try:
                file.truncate(0)
                write_all(file.fileno(), f"{digest}  {name}\n".encode())
            except OSError as error:
                raise store_error(error, self.partial_path(partial)) from error
            self.install(partial, file, folder, f"{name}.sha256")

    def recorded(self, folder: str, name: str) -> str | None:
        """Return the digest that was noted for a file, 64 hexadecimal digits; None without a note.

        Raises:
            IntegrityError: The note is damaged, or others could change it.
            ModelError: It cannot be read.
        """
        path = self.path(folder, f"{name}.sha256")
        try:
            with open_trusted(path) as file:
                line = file.read(1024).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error(error, path) from error
        match = _RECORD.match(line)
        if match is None:
            raise IntegrityError(
                "holds no SHA-256",
                path=path,
                remedy=f"delete {printable(path.parent)} and fetch the model again",
            )
        return match[1]

    def _make(self, directory: Path, mode: int) -> None:
        """Make a directory with exactly this mode; one that exists must be trustworthy."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.mkdir(mode)
        except FileExistsError:
            status = directory.lstat()
            if not stat.S_ISDIR(status.st_mode):
                raise
            check_trust(status, directory)
        else:
            directory.chmod(mode)  # whatever the umask
            sync_directory(directory.parent)


def default_store() -> ModelStore:
    """Return the store for new models: the system's for root and its service, else the user's."""
    user = paths.user_directory("XDG_DATA_HOME", ".local/share")
    system = SYSTEM_STORE.parent
    writable = system.is_dir() and os.access(system, os.W_OK)
    if user is None or os.geteuid() == 0 or writable:
        return _store(SYSTEM_STORE)
    return _store(user / SYSTEM_STORE.name)


def search_stores() -> tuple[ModelStore, ...]:
    """Return the stores to search: the one this user would install to, then the system's."""
    return tuple(dict.fromkeys((default_store(), _store(SYSTEM_STORE))))


def _store(path: Path) -> ModelStore:
    return ModelStore(Path(os.path.realpath(path)))


def open_trusted(path: Path) -> BinaryIO:
    """Open a file of a store for reading, if nobody but root and this user could change it.

    Each name is looked up once, below the directory that was checked before.

    Raises:
        IntegrityError: Others could change it, or it is a symbolic link or no regular file.
        OSError: It is missing or cannot be read.
    """
    parent = path.parent
    try:
        directory = os.open(parent, _DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise _not_plain("the directory is a symbolic link or none", parent) from error
        raise
    try:
        check_trust(os.fstat(directory), parent)
        above = os.open("..", _DIRECTORY, dir_fd=directory)
        try:
            check_trust(os.fstat(above), parent.parent)
        finally:
            os.close(above)
        return _open_plain(path, directory)
    finally:
        os.close(directory)


def _open_plain(path: Path, directory: int) -> BinaryIO:
    try:
        descriptor = open_unfollowed(path.name, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise _not_plain("a symbolic link or no regular file", path) from error
        raise
    status = os.fstat(descriptor)
    try:
        if not stat.S_ISREG(status.st_mode):
            raise _not_plain("not a regular file", path)
        check_trust(status, path)
    except IntegrityError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_trust(status: os.stat_result, path: Path) -> None:
    """Refuse a file or directory that another user than root and this one could change.

    Args:
        status: Its status, from fstat.
        path: Its path, for the message.

    Raises:
        IntegrityError: It belongs to somebody else, or others may write to it.
    """
    # In a sticky directory, such as /tmp, others may add files but not replace ours.
    is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_uid not in {0, os.geteuid()}:
        raise IntegrityError(
            f"belongs to user {status.st_uid}, who could change it between check and use",
            path=path,
            remedy=f"verify it afterwards: sudo chown root: {printable(path)}",
        )
    if status.st_mode & _OTHERS_MAY_WRITE and not is_sticky:
        raise IntegrityError(
            f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})",
            path=path,
            remedy=f"verify it afterwards: chmod go-w {printable(path)}",
        )


def store_error(error: OSError, path: Path) -> ModelError:
    """Return our error for an error of the system in the store."""
    if error.errno in _FULL:
        return ModelError(
            "the disk is full",
            path=path,
            remedy="make room and run the command again: what is already there is kept",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ModelError(
            f"no access ({error.strerror})",
            path=path,
            remedy="run the command as root, or as the user whom the directory belongs to",
        )
    return ModelError(f"{error.strerror}", path=path)


def _not_plain(message: str, path: Path) -> IntegrityError:
    return IntegrityError(
        message, path=path, remedy="remove it and fetch or import the model again"
    )


def _open_locked(path: Path) -> BinaryIO:
    """Open a file for reading and writing with an exclusive lock; unbuffered, at its beginning."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            if _is_at(status, path):
                if not stat.S_ISREG(status.st_mode):
                    raise _not_plain("not a regular file", path)
                check_trust(status, path)
                return os.fdopen(descriptor, "r+b", buffering=0)
        except BlockingIOError as error:
            os.close(descriptor)
            raise BusyError(
                "another process is fetching or importing this file",
                path=path,
                remedy="wait until it is done",
            ) from error
        except (OSError, ModelError):
            os.close(descriptor)
            raise
        # The previous holder of the lock has installed the file or deleted it.
        os.close(descriptor)


def _is_at(status: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(status, path.lstat())
    except FileNotFoundError:
        return False
