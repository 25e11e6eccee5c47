"""Requests of other processes to the one that owns the database, as rows.

SQLite counts the changes of other connections, so polling costs nothing while there are none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime, unix_time
from photoramd.database.conditions import PHOTOS_AT, location, within
from photoramd.database.connection import Database, connect_beside_owner
from photoramd.database.readonly import fetch, open_readonly

RETAG = "retag"
RETAG_FAILED = "retag-failed"
UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Request:
    """A user's request to tag a photo, or all photos below a directory, again.

    Attributes:
        path: Absolute.
        only_failed: Only photos that failed.
        is_undo: Take their tags back instead.
    """

    path: str
    only_failed: bool = False
    is_undo: bool = False

    @property
    def kind(self) -> str:
        """Its name in the database."""
        return UNDO if self.is_undo else RETAG_FAILED if self.only_failed else RETAG


class Requests:
    """The requests as the owner of the database takes them and carries them out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: int | None = None

    def take(self) -> list[Request]:
        """Return new requests, the oldest first, and remove them from the database."""
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

    def retag(self, path: str, *, only_failed: bool) -> int:
        """Have photos tagged and written again, undone ones too; return how many.

        `Pipeline.choose_again` does it. It uses stored scores where there are some, so the
        model runs only for pictures that it has not seen.

        Args:
            path: A photo, or a directory with all below it.
            only_failed: Only photos that failed.
        """
        condition = "state = 'failed'" if only_failed else "state <> 'missing'"
        with self._database.transaction() as db:
            return db.execute(
                f"""UPDATE photos SET undone_at = NULL, settings = NULL, attempts = 0, begun = 0,
                        next_attempt = 0, reason = NULL,
                        state = CASE WHEN state = 'failed' OR result_id IS NULL
                                     THEN 'pending' ELSE state END
                    WHERE {condition} AND {PHOTOS_AT}""",  # noqa: S608
                location(path),
            ).rowcount

    def undo(self, path: str, now: UnixTime) -> None:
        """Have the tags of photos taken back, by the writer when their turn comes.

        Args:
            path: A photo, or a directory with all below it.
            now: The present time.
        """
        chosen = f"state <> 'missing' AND {PHOTOS_AT}"
        with self._database.transaction() as db:
            db.execute(
                f"DELETE FROM keywords WHERE photo_id IN (SELECT id FROM photos WHERE {chosen})",  # noqa: S608
                location(path),
            )
            db.execute(
                f"""UPDATE photos SET undone_at = ?, attempts = 0, next_attempt = 0, reason = NULL,
                        state = CASE WHEN EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id)
                                     THEN 'tagged' ELSE state END
                    WHERE {chosen}""",  # noqa: S608
                (now, *location(path)),
            )


def canonical_path(path: Path) -> Path:
    """Return a path as the database names it: absolute; only a photo may be a link."""
    if os.path.isdir(path):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent), path.name)


def is_known(database: Path, path: Path) -> bool:
    """Return whether the database has a photo at or below a `canonical_path`.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    with closing(open_readonly(database)) as connection:
        found = fetch(
            connection,
            f"""SELECT EXISTS (
                    SELECT 1 FROM directories d JOIN photos p ON p.directory_id = d.id
                    WHERE {within("d.path")}
                ) OR EXISTS (
                    SELECT 1 FROM directories d JOIN photos p ON p.directory_id = d.id
                    WHERE p.name = ? AND d.path = ?
                )""",  # noqa: S608
            location(os.fspath(path)),
        )
        return bool(found[0][0])


def count_at(database: Path, tops: Sequence[Path]) -> int:
    """Return how many known photos are at or below some `canonical_path`s.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    return _count(database, tops, "state <> 'missing'")


def count_waiting(database: Path, tops: Sequence[Path]) -> int:
    """Return how many photos there wait for what was requested; requests not taken count, too.

    Photos that are tried again later, because something is wrong with them, do not count.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    with closing(open_readonly(database)) as connection:
        ((requests,),) = fetch(connection, "SELECT count(*) FROM requests")
    waiting = """(state IN ('pending', 'tagged') AND next_attempt <= unixepoch() + 1
                  OR state = 'written' AND settings IS NULL AND undone_at IS NULL)"""
    return int(requests) + _count(database, tops, waiting)


def _count(database: Path, tops: Sequence[Path], condition: str) -> int:
    ids: set[int] = set()
    with closing(open_readonly(database)) as connection:
        for top in tops:
            sql = f"SELECT id FROM photos WHERE {condition} AND {PHOTOS_AT}"  # noqa: S608
            ids |= {number for (number,) in fetch(connection, sql, location(os.fspath(top)))}
    return len(ids)


def submit(database: Path, requests: Sequence[Request]) -> None:
    """Leave requests for the owner of the database, which may run now or later.

    Raises:
        StoreError: There is no database, or it may not be written.
    """
    # Its errors name what is wrong with the file, and the remedy.
    open_readonly(database).close()
    with connect_beside_owner(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO requests (kind, path, created_at) VALUES (?, ?, ?)",
            [(r.kind, os.fsencode(r.path), unix_time()) for r in requests],
        )
        connection.execute("COMMIT")
