"""sqlite3's errors as errors of ours, with what to do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoramd.errors import DamagedError, StoreError


@contextmanager
def converted(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors into ours, with what to do about them.

    Raises:
        StoreError: For any ``sqlite3.Error``.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(path, error) from error


START_ANEW = (
    "stop photoramd, put the last copy back (photoramd db restore), or move the file and its -wal"
    " and -shm aside: photos are tagged anew, nothing in your photo directories is lost"
)


def unusable(path: Path, error: OSError | sqlite3.Error) -> StoreError:
    """Return the error of ours for one of the system or of SQLite."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    remedies = {
        "locked": "another program holds the database open for writing; close it and try again",
        "full": "free some space on its disk; photoramd goes on where it stopped",
        "readonly": "make the file and its directory writable for this user",
        "not a database": "set [state] path to another file; this one is left as it is",
        "malformed": START_ANEW,
    }
    fallback = "check that [state] path is on a local disk and that this user may write there"
    remedy = next((text for key, text in remedies.items() if key in reason.lower()), fallback)
    message = f"cannot use the database: {reason}"
    # The low byte is the kind of the error, whatever its details.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        is_ours = code == sqlite3.SQLITE_CORRUPT
        return DamagedError(message, is_ours=is_ours, path=path, remedy=remedy)
    return StoreError(message, path=path, remedy=remedy)
