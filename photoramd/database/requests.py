"""What other processes ask of the one that owns the database: rows that it notices.

SQLite counts the changes of other connections, so that looking costs nothing while there
are none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from photoramd.database.conditions import places, within
from photoramd.database.connection import Database, visit
from photoramd.database.readonly import open_readonly, select

RETAG = "retag"
RETAG_FAILED = "retag-failed"
UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants a photo, or all photos below a directory, to be tagged again, or never.

    Attributes:
        path: Absolute.
        only_failed: Only photos that failed.
        is_undo: Their tags are to be taken back instead.
    """

    path: str
    only_failed: bool = False
    is_undo: bool = False

    @property
    def kind(self) -> str:
        """What it is called in the database."""
        return UNDO if self.is_undo else RETAG_FAILED if self.only_failed else RETAG


class Requests:
    """The requests, for the process that owns the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None

    def take(self) -> list[Request]:
        """New requests, the oldest first; they are forgotten."""
        version = self._database.rows("PRAGMA data_version")[0][0]
        if version == self._version:
            return []
        self._version = version
        rows = self._database.rows("SELECT id, kind, path FROM requests ORDER BY id")
        if rows:
            with self._database.transaction() as db:
                db.execute("DELETE FROM requests WHERE id <= ?", (rows[-1][0],))
        return [
            Request(os.fsdecode(path), kind == RETAG_FAILED, kind == UNDO) for _, kind, path in rows
        ]


def canonical_path(path: Path) -> Path:
    """A photo or directory as the database names it: absolute; only a photo may be a link."""
    if os.path.isdir(path):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent), path.name)


def is_known(database: Path, path: Path) -> bool:
    """Whether the database has a photo at or below a path (an `canonical_path`).

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    with closing(open_readonly(database)) as connection:
        found = select(
            connection,
            f"""SELECT EXISTS (
                    SELECT 1 FROM directories d JOIN photos p ON p.directory_id = d.id
                    WHERE {within("d.path")}
                ) OR EXISTS (
                    SELECT 1 FROM directories d JOIN photos p ON p.directory_id = d.id
                    WHERE p.name = ? AND d.path = ?
                )""",  # noqa: S608
            places(os.fspath(path)),
        )
        return bool(found[0][0])


def submit(database: Path, requests: Sequence[Request]) -> None:
    """Leave requests for the owner of the database, who may be at work or may come later.

    Raises:
        StoreError: There is no database, or it may not be written.
    """
    # The reader knows all that can be wrong with the file, and what to do about it.
    open_readonly(database).close()
    with visit(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO requests (kind, path, created_at) VALUES (?, ?, ?)",
            [(r.kind, os.fsencode(r.path), time.time()) for r in requests],
        )
        connection.execute("COMMIT")
