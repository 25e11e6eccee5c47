"""Migration 70: edits of tags by the user.

A module of its own for its length. Like the others it is never edited once released.
"""

from __future__ import annotations

from sqlite_utils import Database


def m070_edits(db: Database) -> None:
    """Add edits of tags, the tags that users had added, and which rejected ones are in files."""
    for statement in _STATEMENTS:
        db.execute(statement)


_STATEMENTS = (
    # An id is never used twice: an old page may still name it.
    """CREATE TABLE edits (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        asked_by TEXT NOT NULL,
        asked_at REAL NOT NULL,
        undoes INTEGER
    )""",
    # One change of one photo. applied_at: since when the database says so; done: the files do.
    """CREATE TABLE edit_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        edit_id INTEGER NOT NULL REFERENCES edits(id) ON DELETE CASCADE,
        photo_id INTEGER NOT NULL REFERENCES photos(id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('add', 'reject', 'undo')),
        tag TEXT NOT NULL,
        folded TEXT NOT NULL,
        undoes INTEGER,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
        reason TEXT,
        applied_at REAL,
        done_at REAL,
        before TEXT,
        superseded_by INTEGER
    )""",
    "CREATE INDEX edit_changes_photo ON edit_changes (photo_id, folded)",
    "CREATE INDEX edit_changes_edit ON edit_changes (edit_id)",
    "CREATE INDEX edit_changes_undoes ON edit_changes (undoes) WHERE undoes IS NOT NULL",
    "CREATE INDEX edit_changes_done ON edit_changes (done_at) WHERE done_at IS NOT NULL",
    # To the letter, photoramd.database.editing.UNAPPLIED.
    """CREATE INDEX edit_changes_unapplied ON edit_changes (id)
       WHERE state = 'pending' AND applied_at IS NULL""",
    # What the user had us add. is_leaving: 1 if it was taken back and the files may have it yet.
    """CREATE TABLE given_tags (
        photo_id INTEGER NOT NULL REFERENCES photos(id) ON DELETE CASCADE,
        label_id INTEGER NOT NULL REFERENCES labels(id),
        is_leaving INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (photo_id, label_id)
    ) WITHOUT ROWID""",
    # 1: rejected by an edit, and in the file until that is written.
    "ALTER TABLE ledger ADD COLUMN is_leaving INTEGER NOT NULL DEFAULT 0",
)
