"""Compare the sets of photos with the rows that they are made from, and make them anew."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from photoramd.database import derived
from photoramd.database.connection import connect_beside_owner
from photoramd.database.errors import translate_errors
from photoramd.database.readonly import open_readonly, snapshot


def mend_sets(database: Path) -> int:
    """Make the sets of photos anew if they are not what the rows say; the daemon may run.

    Returns:
        How many parts of sets were wrong. None is of a database of an earlier version, which has
        no sets: its next start makes them.

    Raises:
        StoreError: The database cannot be read or, if it must be, written.
    """
    with closing(open_readonly(database)) as connection, translate_errors(database):
        has_sets = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'folded'")
        if has_sets.fetchone() is None or not derived.is_made(connection):
            return 0
        with snapshot(connection):
            wrong = derived.differences(connection)
    if wrong:
        with connect_beside_owner(database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            derived.make(connection)
            connection.execute("COMMIT")
    return wrong
