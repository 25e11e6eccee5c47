"""The names of the migrations, for those who only ask whether a database has had them all.

The migrations themselves need sqlite-utils, whose import takes as long as all else at a start.
"""

from __future__ import annotations

import sqlite3

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
    exists = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(exists).fetchone()[0]:
        return False
    applied = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in connection.execute(applied, (SET,))} == set(NAMES)
