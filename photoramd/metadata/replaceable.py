"""Open a photo that a new file may take the place of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from photoramd.errors import ChangedError, EmbeddingError
from photoramd.system import file_attributes
from photoramd.system.beneath import open_read


def open_replaceable(photo: Path) -> int:
    """Open a photo for reading, after checking that it may be replaced; return its descriptor.

    Raises:
        ChangedError: It is not there.
        EmbeddingError: It must stay as it is, because of what it is, or of who we are.
    """
    try:
        fd = open_read(photo)
    except FileNotFoundError as error:
        raise ChangedError("it is not there", path=photo) from error
    except OSError as error:
        raise EmbeddingError(f"it cannot be opened ({error.strerror})", path=photo) from error
    reason = _reason_against(fd, os.fstat(fd))
    if reason is not None:
        os.close(fd)
        raise EmbeddingError(reason, path=photo)
    return fd


def _reason_against(fd: int, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if status.st_nlink > 1:
        return "it has several hard links, which replacing it would part"
    if not status.st_mode & 0o222:
        return "it is read-only"
    if os.geteuid() not in (0, status.st_uid):
        return "it belongs to another user, whom a new file cannot be given to"
    if file_attributes.is_locked(fd):
        return "it is immutable or append-only (lsattr)"
    return None
