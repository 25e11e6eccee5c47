"""Atomic replacement of a file, in two steps with room for a commit between them.

`prepare` writes the whole new content to a temporary file beside the target and returns what
the target's fingerprint will be; the caller notes that in its database; `commit` moves the
temporary to the target's place if nobody touched the target meanwhile. If the process is killed
at any point, the target is the old file or the new one, whole; `settle` cleans up.

Checking the target and renaming are two system calls, and another program may write between
them. So, where the file system can, the two files are exchanged rather than one renamed over
the other: the file that came out is checked once more, and put back if it is not the expected
one.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.errors import SidecarError
from photoramd.photo import Fingerprint
from photoramd.system import file_attributes
from photoramd.system.beneath import Directory, open_read
from photoramd.system.files import UNSUPPORTED, write_all
from photoramd.system.renameat2 import EXCHANGE, NOREPLACE, rename
from photoramd.system.write_errors import changed, refuse_unless_plain, translated

log = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".photoramd-"
"""The prefix of temporary files' names; hidden, so they are never taken for photos."""

_SUFFIX = ".tmp"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A replacement that waits to be committed or discarded.

    Attributes:
        target: The file to replace or to create.
        temporary: The new content, beside it.
        directory: Their directory, open until it is committed or discarded.
        before: The target's fingerprint now; None if there is no target.
        after: The target's fingerprint after `commit`.
    """

    target: Path
    temporary: Path
    directory: Directory
    before: Fingerprint | None
    after: Fingerprint


def prepare(
    target: Path,
    data: bytes,
    *,
    expected: Fingerprint | None,
    beside: Path | None = None,
    keep_date: bool = False,
) -> Prepared:
    """Write new content for a file to a temporary file beside it, and sync it to the disk.

    It keeps an existing target's mode, owner, group, ACL and extended attributes. A new file
    gets those of ``beside``, without the right to execute: whoever may edit the photo may edit
    its sidecar; the owner may always write.

    Args:
        target: The file to replace or to create.
        data: The whole new content.
        expected: The target's fingerprint when its content was read; None if there was none.
        beside: The photo that a new file belongs to.
        keep_date: Give it the target's date, a millisecond later: it must differ, or
            backups and other programs would not see that the file changed.

    Raises:
        ChangedError: The target is not the expected file.
        SidecarError: The target must not be replaced: it is a link or read-only, or has an owner
            or an attribute that cannot be kept.
        WriteError: The system does not let us write; nothing is left behind.
    """
    temporary = _new_temporary(target)
    with translated(target):
        directory = Directory(target.parent)
        try:
            with _source(directory, target, expected) as source:
                fd = directory.create(temporary.name)
                try:
                    write_all(fd, data)
                    if source is None:
                        _imitate(fd, beside)
                    else:
                        file_attributes.keep(fd, source, target)
                    if keep_date and source is not None:
                        _date(fd, os.fstat(source).st_mtime_ns)
                    os.fsync(fd)
                    after = Fingerprint.of(os.fstat(fd))
                finally:
                    os.close(fd)
        except BaseException:
            _drop(directory, temporary.name)
            directory.close()
            raise
    return Prepared(target, temporary, directory, expected, after)


def commit(prepared: Prepared) -> Fingerprint:
    """Move a prepared replacement to its place.

    Returns:
        The target's fingerprint; ``prepared.after``, unless a network server changed it.

    Raises:
        ChangedError: Another program wrote, made or removed the target meanwhile, or put
            another directory in the place of its own; its file is there unharmed, and the
            temporary is gone.
        WriteError: The system does not let us; the target is intact, and the temporary
            gone.
    """
    target, directory, name = prepared.target, prepared.directory, prepared.temporary.name
    with translated(target), directory:
        try:
            if not directory.is_in_its_place():
                raise changed(target)
            _put_in_place(prepared)
            try:
                directory.sync()
            except OSError:
                _take_back(prepared)
                raise
            return _look(directory, target.name) or prepared.after
        finally:
            # Anything else is another program's work that could not be put back.
            left = _look(directory, name)
            if left is not None and left in {prepared.before, prepared.after}:
                _drop(directory, name)


def remove(target: Path, expected: Fingerprint) -> None:
    """Remove a file if nobody touched it meanwhile.

    Raises:
        ChangedError: It is not what was expected; it is there unharmed.
        SidecarError: It must not be removed: see `prepare`.
        WriteError: The system does not let us.
    """
    name = _new_temporary(target).name
    with (
        translated(target),
        Directory(target.parent) as directory,
        _source(directory, target, expected),
    ):
        # Moved aside first and checked there: nobody writes to it under that name.
        _move_to_free_name_of(directory, target.name, name)
        if _look(directory, name) != expected:
            _move_to_free_name_of(directory, name, target.name)
            raise changed(target)
        directory.unlink(name)
        directory.sync()


def discard(prepared: Prepared) -> None:
    """Drop a prepared replacement; harmless if it is gone."""
    with prepared.directory as directory:
        _drop(directory, prepared.temporary.name)


def settle(target: Path, temporary: Path, after: Fingerprint) -> bool:
    """Clean up after a process that was killed while it had a replacement prepared.

    Args:
        target: `Prepared.target`.
        temporary: `Prepared.temporary`.
        after: `Prepared.after`.

    Returns:
        Whether the replacement was completed. If not, the target is as before, or as another
        program left it, and the temporary is gone.

    Raises:
        ChangedError: The directory is gone, so it cannot be told.
        WriteError: The system does not let us.
    """
    with translated(target), Directory(target.parent) as directory:
        left = _look(directory, temporary.name)
        if left is None:
            return True
        found = _look(directory, target.name)
        if found == after == left:
            # Killed between giving the file its second name and removing the first.
            directory.unlink(temporary.name)
            return True
        if found == after:
            # Killed after the exchange, before the file that came out was checked. It may be
            # another program's newer file, so it goes back, whatever it is.
            rename(temporary.name, target.name, EXCHANGE, directory.fd)
        directory.unlink(temporary.name)
        return False


def remove_temporary(path: Path) -> bool:
    """Remove a file if it is one of photoramd's temporaries, by name and kind.

    Returns:
        Whether it was removed; a file that is not ours, or gone, is left as it is.

    Raises:
        ChangedError: Its directory is gone.
        WriteError: The system does not let us.
    """
    if not (path.name.startswith(TEMPORARY_PREFIX) and path.name.endswith(_SUFFIX)):
        return False
    with translated(path), Directory(path.parent) as directory:
        status = directory.look(path.name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return False
        with suppress(FileNotFoundError):
            directory.unlink(path.name)
    return True


_LATER_NS = (1_000_000, 1_000_000_000, 2_000_000_000)
"""How much later the date is: a millisecond, or what a file system with coarser dates can tell
apart."""


def _date(fd: int, before_ns: int) -> None:
    for later in _LATER_NS:
        os.utime(fd, ns=(time.time_ns(), before_ns + later))
        if os.fstat(fd).st_mtime_ns != before_ns:
            return


def _new_temporary(target: Path) -> Path:
    return target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")


def _imitate(fd: int, beside: Path | None) -> None:
    if beside is None:
        file_attributes.imitate(fd, None)
        return
    photo = open_read(beside)
    try:
        file_attributes.imitate(fd, photo)
    finally:
        os.close(photo)


def _look(directory: Directory, name: str) -> Fingerprint | None:
    status = directory.look(name)
    return None if status is None else Fingerprint.of(status)


@contextmanager
def _source(
    directory: Directory, target: Path, expected: Fingerprint | None
) -> Iterator[int | None]:
    """Open and check the file to replace; yield None where there should be none."""
    if expected is None:
        _require_absent(directory, target)
        yield None
        return
    try:
        fd = directory.open_read(target.name)
    except FileNotFoundError as error:
        raise changed(target) from error
    except OSError as error:
        status = directory.look(target.name)
        if error.errno == errno.ELOOP and status is not None:
            refuse_unless_plain(target, status)
        raise
    try:
        status = os.fstat(fd)
        refuse_unless_plain(target, status)
        if not status.st_mode & 0o222:
            raise SidecarError(
                "is read-only", path=target, remedy="chmod u+w, if photoramd may change it"
            )
        if not _is_same(Fingerprint.of(status), expected):
            raise changed(target)
        yield fd
    finally:
        os.close(fd)


def _is_same(found: Fingerprint | None, expected: Fingerprint) -> bool:
    """Return whether a file is unchanged; ctime also tells of new links, modes and attributes."""
    return found == expected and expected.ctime_ns in {0, found.ctime_ns}


def _require_absent(directory: Directory, target: Path) -> None:
    if (found := directory.look(target.name)) is not None:
        refuse_unless_plain(target, found)
        raise changed(target)


def _put_in_place(prepared: Prepared) -> None:
    if prepared.before is None:
        _move_to_free_name(prepared.directory, prepared.temporary.name, prepared.target)
    else:
        _move_over(prepared.directory, prepared.temporary.name, prepared.target, prepared.before)


def _take_back(prepared: Prepared) -> None:
    """Undo the rename as well as possible, where it may not have reached the disk."""
    directory, target, name = prepared.directory, prepared.target.name, prepared.temporary.name
    with suppress(OSError):
        if _look(directory, target) != prepared.after:
            return
        if prepared.before is None:
            directory.unlink(target)
        elif _look(directory, name) == prepared.before:
            rename(name, target, EXCHANGE, directory.fd)


def _move_to_free_name(directory: Directory, temporary: str, target: Path) -> None:
    try:
        rename(temporary, target.name, NOREPLACE, directory.fd)
        return
    except FileExistsError as error:
        raise changed(target) from error
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    try:
        os.link(
            temporary,
            target.name,
            src_dir_fd=directory.fd,
            dst_dir_fd=directory.fd,
            follow_symlinks=False,
        )
    except FileExistsError as error:
        raise changed(target) from error
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EPERM}:
            raise
        # Some network and FUSE file systems can do neither; a check beforehand must do.
        _require_absent(directory, target)
        directory.rename(temporary, target.name)


def _move_to_free_name_of(directory: Directory, source: str, target: str) -> None:
    try:
        rename(source, target, NOREPLACE, directory.fd)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        _require_absent(directory, directory.path / target)
        directory.rename(source, target)


def _move_over(directory: Directory, temporary: str, target: Path, before: Fingerprint) -> None:
    """Exchange the files and check the one that came out; `commit` removes it."""
    if not _is_same(_look(directory, target.name), before):
        raise changed(target)
    try:
        rename(temporary, target.name, EXCHANGE, directory.fd)
    except FileNotFoundError as error:
        raise changed(target) from error
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        directory.rename(temporary, target.name)
        return
    # The rename itself changes ctime, so it is not compared here.
    if _look(directory, temporary) != before:
        try:
            rename(temporary, target.name, EXCHANGE, directory.fd)
        except OSError:
            # It is another program's edit: no sweep may take it for ours.
            kept = target.with_name(f"{target.name}.{secrets.token_hex(4)}.kept")
            _move_to_free_name(directory, temporary, kept)
            log.warning("%s: another program's edit of it was saved as %s", target, kept.name)
        raise changed(target)


def _drop(directory: Directory, temporary: str) -> None:
    with suppress(OSError):
        directory.unlink(temporary)
