"""Removal of photos that have been missing for long, on request only."""

from __future__ import annotations

from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.connection import connect_beside_owner
from photoramd.database.readonly import open_readonly

_CHUNK = 1000
"""Rows in one transaction: the daemon must not wait long."""


def prune(database: Path, missing_before: UnixTime) -> int:
    """Remove photos that went missing before a time; return how many.

    The daemon may be running. No file is touched; scores that no photo has any more go too.

    Args:
        database: The file.
        missing_before: The time.

    Raises:
        StoreError: There is no database, or it may not be written.
    """
    open_readonly(database).close()
    with connect_beside_owner(database) as connection:
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
