"""Errors of SQLite and of the system as `StoreError`, with remedies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoramd.errors import DamagedError, StoreError


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into errors of photoramd with a remedy.

    Args:
        path: The database.

    Raises:
        StoreError: For any ``sqlite3.Error``.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error


RESTORE_REMEDY = (
    "stop photoramd, put the last copy back (photoramd db restore), or move the file and its -wal"
    " and -shm aside: photos are tagged anew, nothing in your photo directories is lost"
)


def store_error(path: Path, error: OSError | sqlite3.Error) -> StoreError:
    """Return the error of photoramd for one of the system or of SQLite."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    remedies = {
        "locked": "another program holds the database open for writing; close it and try again",
        "full": "free some space on its disk; photoramd goes on where it stopped",
        "readonly": "make the file and its directory writable for this user",
        "not a database": "set [state] path to another file; this one is left as it is",
        "malformed": RESTORE_REMEDY,
    }
    fallback = "check that [state] path is on a local disk and that this user may write there"
    remedy = next((text for key, text in remedies.items() if key in reason.lower()), fallback)
    message = f"cannot use the database: {reason}"
    # The low byte is the primary result code: https://sqlite.org/rescode.html.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        is_ours = code == sqlite3.SQLITE_CORRUPT
        return DamagedError(message, is_ours=is_ours, path=path, remedy=remedy)
    return StoreError(message, path=path, remedy=remedy)
