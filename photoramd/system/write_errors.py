"""Turn errors in writing files into ours, with what to do about them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoramd.errors import ChangedError, SidecarError, WriteError


@contextmanager
def translated(target: Path) -> Iterator[None]:
    """Turn the system's errors about a file into ours.

    Raises:
        ChangedError: The file or its directory is gone.
        SidecarError: Its name is too long, or it is below a symbolic link.
        WriteError: For any other ``OSError``.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ChangedError("its directory or photo is gone", path=target) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise SidecarError(
                "the name is too long for the file system",
                path=target,
                remedy="give the photo a shorter name",
            ) from error
        if error.errno == errno.ELOOP:
            raise SidecarError(
                "is below a symbolic link, which is not followed",
                path=target,
                remedy="put the directory itself in the link's place, or watch where it leads",
            ) from error
        raise failure(error, target) from error


def changed(target: Path) -> ChangedError:
    """Return the error for a file that another program changed."""
    return ChangedError(
        "another program changed it meanwhile", path=target, remedy="nothing; it is tried again"
    )


def refuse_unless_plain(path: Path, status: os.stat_result) -> None:
    """Refuse a file that has another name, or that is not a regular one.

    Raises:
        SidecarError: It is a symbolic link, has several hard links, or is no regular file.
    """
    remedy = "put a regular file of its own in its place, or take it away"
    if stat.S_ISLNK(status.st_mode):
        raise SidecarError("is a symbolic link, and not written through", path=path, remedy=remedy)
    if not stat.S_ISREG(status.st_mode):
        raise SidecarError("is no regular file", path=path, remedy=remedy)
    if status.st_nlink > 1:
        raise SidecarError(
            "has several hard links, which replacing it would part", path=path, remedy=remedy
        )


_REMEDIES = {
    errno.ENOSPC: "free some space; photoramd then goes on by itself",
    errno.EDQUOT: "free some of the quota; photoramd then goes on by itself",
    errno.EROFS: "mount it for writing; photoramd then goes on by itself",
    errno.EACCES: "let the user that photoramd runs as write to that directory",
    errno.EPERM: "see whether the file or directory is immutable (lsattr)",
}


def failure(error: OSError, path: Path) -> WriteError:
    """Return why the system does not let us write."""
    code = error.errno or errno.EIO
    remedy = _REMEDIES.get(code, "see what the system log says of that disk")
    return WriteError(f"cannot be written ({error.strerror})", code, path=path, remedy=remedy)
