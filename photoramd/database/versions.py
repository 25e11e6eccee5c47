"""The names of the migrations, for those who only ask whether a database has had them all.

The migrations themselves need sqlite-utils, whose import takes as long as all else at a start.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from photoramd.errors import StoreError

NAMES = (
    "m001_photos",
    "m002_undo",
    "m010_requests",
    "m020_raw",
    "m030_places",
    "m040_present_model",
    "m050_begun",
    "m060_asking",
    "m070_edits",
    "m071_figures",
    "m080_workers",
)
"""In their order; a database with others is a newer version's."""

SET = "photoramd"
"""What sqlite-utils calls all of them together."""


def is_current(connection: sqlite3.Connection) -> bool:
    """Return whether a database has had these migrations, and no others."""
    return _applied(connection) == set(NAMES)


def require_known(connection: sqlite3.Connection, path: Path) -> None:
    """Require that no newer version has changed a database.

    Args:
        connection: To the database.
        path: Its file, for the message.

    Raises:
        StoreError: One has.
        sqlite3.Error: The database failed.
    """
    newer = sorted(_applied(connection) - set(NAMES))
    if newer:
        raise StoreError(
            f"the database was made by a newer photoramd (it has {newer[-1]})",
            path=path,
            remedy="install that version again, or use another [state] path",
        )


def _applied(connection: sqlite3.Connection) -> set[str]:
    exists = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(exists).fetchone()[0]:
        return set()
    applied = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in connection.execute(applied, (SET,))}
