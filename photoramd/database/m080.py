"""Migration 80: the workers on which the model runs.

A module of its own, as others are. Like them it is never edited once released.
"""

from __future__ import annotations

from sqlite_utils import Database


def m080_workers(db: Database) -> None:
    """Add the other machines on which the model runs, as the daemon last met them."""
    db.execute(_STATEMENT)


_STATEMENT = """CREATE TABLE workers (
    position INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    is_available INTEGER NOT NULL,
    reason TEXT NOT NULL,
    remedy TEXT NOT NULL,
    since REAL NOT NULL
)"""
