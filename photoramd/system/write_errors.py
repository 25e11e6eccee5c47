"""Turn errors in writing files into ours, with what to do about them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoramd.errors import ChangedError, SidecarError, WriteError


@contextmanager
def translated(target: Path) -> Iterator[None]:
    """Turn the system's errors about a file into ours.

    Raises:
        ChangedError: The file or its directory is gone.
        SidecarError: Its name is too long.
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
        raise failure(error, target) from error


def changed(target: Path) -> ChangedError:
    """Return the error for a file that another program changed."""
    return ChangedError(
        "another program changed it meanwhile", path=target, remedy="nothing; it is tried again"
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
