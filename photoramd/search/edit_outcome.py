"""What became of one edit, photo by photo."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from photoramd.database.edited import CAN_BE_UNDONE
from photoramd.database.readonly import fetch
from photoramd.errors import printable


@dataclass(frozen=True, slots=True)
class FailedChange:
    """A change that failed.

    Attributes:
        photo_id: Of which photo.
        name: Of its file; printable.
        reason: Why.
    """

    photo_id: int
    name: str
    reason: str


def failed_changes(connection: sqlite3.Connection, edit_id: int, limit: int) -> list[FailedChange]:
    """Return changes of an edit that failed, in the order of asking.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        """SELECT c.photo_id, p.name, c.reason FROM edit_changes c
           JOIN photos p ON p.id = c.photo_id
           WHERE c.edit_id = ? AND c.state = 'failed' ORDER BY c.id LIMIT ?""",
        (edit_id, limit),
    )
    return [
        FailedChange(number, printable(os.fsdecode(name)), reason or "it is not known why")
        for number, name, reason in rows
    ]


def can_be_undone(connection: sqlite3.Connection, edit_id: int) -> bool:
    """Return whether anything of an edit can be undone.

    Raises:
        StoreError: The database cannot be read.
    """
    sql = f"SELECT 1 FROM edit_changes c WHERE c.edit_id = ? AND {CAN_BE_UNDONE} LIMIT 1"  # noqa: S608
    return bool(fetch(connection, sql, (edit_id,)))
