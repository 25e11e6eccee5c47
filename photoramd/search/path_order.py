"""All photos by path, in memory, a folder at a time: those that changed are read again."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch, snapshot
from photoramd.search.timeline import Ids, ids_of

if TYPE_CHECKING:
    from typing import Self

_FOLDERS = 100
"""Read at a time: other threads go on in between."""


class PathOrder:
    """All photos, by folder and then by name.

    Args:
        seen: The last change in it.
        folders: The photos of each folder by name, by the id of the folder.
        ids: All of them, in the order of the folders' paths.
    """

    def __init__(self, seen: int, folders: dict[int, Ids], ids: Ids) -> None:
        self.seen = seen
        self._folders = folders
        self._ids = ids

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Self:
        """Read all photos: a second for a million.

        Raises:
            StoreError: The database cannot be read.
        """
        return cls(-1, {}, np.zeros(0, np.uint32)).refreshed(connection)

    def refreshed(self, connection: sqlite3.Connection) -> Self:
        """Return what the database has now; this itself if nothing has changed.

        Raises:
            StoreError: The database cannot be read.
        """
        with snapshot(connection):
            ((folded, last),) = fetch(
                connection,
                """SELECT ifnull(last_change, 0), ifnull((SELECT seq FROM sqlite_sequence
                                                          WHERE name = 'set_changes'), 0)
                   FROM folded""",
            )
            if last == self.seen:
                return self
            rows = fetch(connection, "SELECT id FROM directories ORDER BY path")
            folders = [number for (number,) in rows]
            known = self._folders if folded <= self.seen < last else {}
            stale = _changed(connection, self.seen) if known else set()
            wanted = [each for each in folders if each in stale or each not in known]
            known = known | _read(connection, wanted)
        ids = np.concatenate([np.zeros(0, np.uint32), *(known[each] for each in folders)])
        return type(self)(last, {each: known[each] for each in folders}, ids)

    def arranged(self, hits: BitMap) -> Ids:
        """Return photos by path."""
        found: Ids = self._ids[np.isin(self._ids, ids_of(hits))]
        return found


def _changed(connection: sqlite3.Connection, seen: int) -> set[int]:
    """Return the folders that photos came to, left, or have other names in."""
    rows = fetch(
        connection,
        """SELECT key FROM set_changes WHERE id > ?1 AND kind = ?2
           UNION SELECT p.directory_id FROM set_changes c JOIN photos p ON p.id = c.photo_id
           WHERE c.id > ?1 AND c.kind = ?3""",
        (seen, Kind.DIRECTORY, Kind.NAME),
    )
    return {number for (number,) in rows}


def _read(connection: sqlite3.Connection, folders: list[int]) -> dict[int, Ids]:
    found = {}
    for start in range(0, len(folders), _FOLDERS):
        rows = fetch(
            connection,
            """SELECT value, (SELECT json_group_array(id) FROM
                   (SELECT id FROM photos WHERE directory_id = value ORDER BY name))
               FROM json_each(?)""",
            (json.dumps(folders[start : start + _FOLDERS]),),
        )
        for folder, text in rows:
            ids = np.fromstring(text.strip("[]"), np.int64, sep=",")
            found[folder] = ids.astype(np.uint32)
    return found
