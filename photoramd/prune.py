"""Forgets photos that have been missing for long. Only ever on request."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from photoramd.database import BUSY_SECONDS, converted
from photoramd.errors import StoreError
from photoramd.reader import open_readonly

_CHUNK = 1000
"""Rows in one transaction: a daemon at work must not wait long."""


def prune(database: Path, missing_before: float) -> int:
    """Remove what is known of photos that went missing before then; returns how many.

    A daemon may be at work. Files are not touched; scores that no photo has any more go too.

    Args:
        database: The file.
        missing_before: Unix seconds.

    Raises:
        StoreError: There is no database, or it may not be written.
    """
    open_readonly(database).close()
    if not os.access(database, os.W_OK) or not os.access(database.parent, os.W_OK):
        raise StoreError(
            "the database may not be written by this user",
            path=database,
            remedy="run this as the user of the daemon (sudo -u photoramd ...)",
        )
    with (
        converted(database),
        closing(
            sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)
        ) as connection,
    ):
        connection.execute("PRAGMA foreign_keys = ON")
        total = 0
        while True:
            connection.execute("BEGIN IMMEDIATE")
            removed = connection.execute(
                """DELETE FROM photos WHERE id IN (
                       SELECT id FROM photos
                       WHERE state = 'missing' AND missing_since < ? LIMIT ?)""",
                (missing_before, _CHUNK),
            ).rowcount
            if total + removed and removed < _CHUNK:
                connection.execute(
                    "DELETE FROM results WHERE id NOT IN"
                    " (SELECT result_id FROM photos WHERE result_id IS NOT NULL)"
                )
            connection.execute("COMMIT")
            total += removed
            if removed < _CHUNK:
                return total
