"""The tags that the user had photoramd add: what an edit gave, and what is to leave the files.

They are the user's own words: queries find them as such, no provenance record names them, and
undo of the machine's tags leaves them. The ledger has what was written of them, as of all else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.keywords import fold

_GIVEN = """SELECT l.id, l.name, g.is_leaving
            FROM given_tags g JOIN labels l ON l.id = g.label_id WHERE g.photo_id = ?
            ORDER BY l.name"""


@dataclass(frozen=True, slots=True)
class Given:
    """The tags that the user gave to a photo by edits.

    Attributes:
        wanted: Those that it is to have, by name.
        withdrawn: Those that were taken back and may be in a file until that is written.
    """

    wanted: tuple[str, ...]
    withdrawn: tuple[str, ...]


def given_tags(database: Database, photo_id: int) -> Given:
    """Return the tags that the user gave to a photo.

    Raises:
        StoreError: The database failed.
    """
    rows = database.rows(_GIVEN, (photo_id,))
    return Given(
        tuple(name for _, name, is_leaving in rows if not is_leaving),
        tuple(name for _, name, is_leaving in rows if is_leaving),
    )


def give(db: sqlite3.Connection, photo_id: int, label_id: int) -> None:
    """Give a tag to a photo, and let queries find it; to be called in a transaction."""
    db.execute("INSERT OR REPLACE INTO given_tags VALUES (?, ?, 0)", (photo_id, label_id))
    # Triggers note what is inserted and deleted, not what is updated or replaced.
    _delete_own(db, photo_id, label_id)
    db.execute("INSERT INTO user_keywords VALUES (?, ?, 0)", (photo_id, label_id))


def withdraw(db: sqlite3.Connection, photo_id: int, folded: Collection[str]) -> list[str]:
    """Take tags away that the user gave; to be called in a transaction.

    They leave the files when the photo is written. What else its files say is read once more.

    Args:
        db: The database.
        photo_id: The photo.
        folded: The tags, as `fold` makes them.

    Returns:
        The names of those that it had.
    """
    found = [(number, name) for number, name in _wanted(db, photo_id) if fold(name) in folded]
    for number, _ in found:
        db.execute(
            "UPDATE given_tags SET is_leaving = 1 WHERE photo_id = ? AND label_id = ?",
            (photo_id, number),
        )
        _delete_own(db, photo_id, number)
    if found:
        db.execute("UPDATE photos SET is_read = 0 WHERE id = ?", (photo_id,))
    return [name for _, name in found]


def note_written(db: sqlite3.Connection, photo_id: int, now: UnixTime) -> None:
    """Record that a photo's files say what its edits ask for; to be called in a transaction."""
    db.execute("DELETE FROM given_tags WHERE photo_id = ? AND is_leaving", (photo_id,))
    db.execute(
        """UPDATE edit_changes SET state = 'done', done_at = ?, reason = NULL
           WHERE photo_id = ? AND state = 'pending' AND applied_at IS NOT NULL""",
        (now, photo_id),
    )


def _wanted(db: sqlite3.Connection, photo_id: int) -> list[tuple[int, str]]:
    rows = db.execute(_GIVEN, (photo_id,)).fetchall()
    return [(number, name) for number, name, is_leaving in rows if not is_leaving]


def _delete_own(db: sqlite3.Connection, photo_id: int, label_id: int) -> None:
    db.execute(
        "DELETE FROM user_keywords WHERE photo_id = ? AND label_id = ?", (photo_id, label_id)
    )
