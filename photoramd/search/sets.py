"""Sets of photos as a reader sees them: what is stored, with the changes since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.errors import StoreError
from photoramd.keywords import comparison_key
from photoramd.system.container import how_to

T = TypeVar("T")

_Key = tuple[int, int]
"""Kind and key."""


class Sets:
    """The sets of a database. What was read stays in memory until the database changes.

    Args:
        connection: From `open_readonly`.
        like: Sets of the same database, which nobody uses meanwhile: what they have read is shared.

    Raises:
        StoreError: The database cannot be read, or is an earlier version's.
    """

    def __init__(self, connection: sqlite3.Connection, like: Sets | None = None) -> None:
        self.connection = connection
        self._folded = self._seen = -1
        self._known: dict[_Key, BitMap] = {}
        self._changes: dict[_Key, dict[int, int]] = {}
        self._keys: dict[Kind, set[int]] = {}
        self._derived: dict[Callable[[Sets], object], object] = {}
        self._labels: list[tuple[int, str, str]] | None = None
        self._chunk_numbers: str | None = None
        if like is not None:
            self._folded, self._seen = like._folded, like._seen
            self._known, self._derived = dict(like._known), dict(like._derived)
            self._changes = {key: dict(photos) for key, photos in like._changes.items()}
            self._keys = {kind: set(keys) for kind, keys in like._keys.items()}
            self._labels, self._chunk_numbers = like._labels, like._chunk_numbers
        self.refresh()

    def refresh(self) -> None:
        """Take note of what was written since.

        Raises:
            StoreError: The database cannot be read, or is an earlier version's.
        """
        try:
            ((folded, last),) = fetch(
                self.connection,
                "SELECT last_change, (SELECT seq FROM sqlite_sequence WHERE name = 'set_changes')"
                " FROM folded",
            )
        except StoreError as error:
            if "no such table" not in str(error):
                raise
            folded = None
        if folded is None:
            raise StoreError(
                "the database is an earlier version's",
                remedy=f"start the daemon ({how_to('start')}), or run photoramd"
                " scan: it is brought up to date then",
            )
        if (folded, last) == (self._folded, self._seen):
            return
        if folded > self._seen:
            # Changes that were never seen are in the sets by now.
            self._known.clear()
            self._keys.clear()
        is_folded = folded != self._folded
        rows = fetch(
            self.connection,
            "SELECT id, kind, key, photo_id, is_member FROM set_changes WHERE id > ? ORDER BY id",
            (-1 if is_folded else self._seen,),
        )
        self._derived.clear()
        self._labels = None
        self._known.pop((Kind.NAME, 0), None)  # it is emptied without a word
        if is_folded:
            self._changes = {}
            self._chunk_numbers = None
        altered: dict[_Key, BitMap] = {}
        for number, kind, key, photo, is_member in rows:
            self._changes.setdefault((kind, key), {})[photo] = is_member
            if kind in self._keys:
                self._keys[Kind(kind)].add(key)
            if number > self._seen and (kind, key) in self._known:
                if (kind, key) not in altered:  # others may share it
                    altered[kind, key] = BitMap(self._known[kind, key])
                members = altered[kind, key]
                (members.add if is_member else members.discard)(photo)
        self._known |= altered
        self._folded, self._seen = folded, last

    def one(self, kind: Kind, key: int = 0) -> BitMap:
        """Return a set; it must not be changed."""
        found = self._known.get((kind, key))
        if found is None:
            self._load(kind, [key])
            found = self._known[kind, key]
        return found

    def union(self, kind: Kind, keys: Iterable[int]) -> BitMap:
        """Return the photos of any of some sets."""
        wanted = list(keys)
        self.load(kind, wanted)
        return BitMap.union(BitMap(), *(self._known[kind, key] for key in wanted))

    def derive(self, make: Callable[[Sets], T]) -> T:
        """Return what a function makes of the sets; it is kept until the database changes."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return cast(T, self._derived[make])

    def changed(self, kind: Kind, key: int = 0) -> list[int]:
        """Return the photos that came into a set or left it and are not folded into it yet."""
        return list(self._changes.get((kind, key), ()))

    def load(self, kind: Kind, keys: Iterable[int]) -> None:
        """Read sets at once that `one` will be asked for."""
        missing = [key for key in keys if (kind, key) not in self._known]
        if missing:
            self._load(kind, missing)

    def keys(self, kind: Kind) -> list[int]:
        """Return the keys of a kind for which there may be photos, in their order."""
        if kind not in self._keys:
            # One step in the index for each key, where DISTINCT would read all of it.
            rows = fetch(
                self.connection,
                """WITH RECURSIVE k(chunk, key) AS (
                       SELECT c.value, (SELECT min(key) FROM sets
                                        WHERE chunk = c.value AND kind = ?1) FROM json_each(?2) c
                       UNION ALL
                       SELECT chunk, (SELECT min(key) FROM sets
                                      WHERE chunk = k.chunk AND kind = ?1 AND key > k.key) FROM k
                       WHERE k.key IS NOT NULL
                   ) SELECT DISTINCT key FROM k WHERE key IS NOT NULL""",
                (kind, self._chunks()),
            )
            changed = {key for known, key in self._changes if known == kind}
            self._keys[kind] = {key for (key,) in rows} | changed
        return sorted(self._keys[kind])

    def _chunks(self) -> str:
        """Return the numbers of the chunks that there are, as JSON."""
        if self._chunk_numbers is None:
            ((self._chunk_numbers,),) = fetch(
                self.connection,
                """WITH RECURSIVE c(chunk) AS (
                       SELECT min(chunk) FROM sets
                       UNION ALL
                       SELECT (SELECT min(chunk) FROM sets WHERE chunk > c.chunk) FROM c
                       WHERE c.chunk IS NOT NULL
                   ) SELECT json_group_array(chunk) FROM c WHERE chunk IS NOT NULL""",
            )
        return self._chunk_numbers

    def all(self, kind: Kind) -> Iterator[tuple[int, BitMap]]:
        """Yield all sets of a kind that are not empty, by key."""
        keys = self.keys(kind)
        self.load(kind, keys)
        for key in keys:
            members = self._known[kind, key]
            if members:
                yield key, members

    def labels(self) -> list[tuple[int, str, str]]:
        """Return all labels: id, name and `comparison_key`."""
        if self._labels is None:
            rows = fetch(self.connection, "SELECT id, name, folded FROM labels")
            self._labels = [(n, name, folded or comparison_key(name)) for n, name, folded in rows]
        return self._labels

    def _load(self, kind: Kind, keys: list[int]) -> None:
        rows = fetch(
            self.connection,
            """SELECT s.key, s.photos FROM json_each(?3) c CROSS JOIN json_each(?2) k
               CROSS JOIN sets s ON s.chunk = c.value AND s.kind = ?1 AND s.key = k.value""",
            (kind, json.dumps(sorted(keys)), self._chunks()),
        )
        chunks: dict[int, list[BitMap]] = {}
        for key, photos in rows:
            chunks.setdefault(key, []).append(_deserialised(photos))
        for key in keys:
            parts = chunks.get(key, ())
            members = parts[0] if len(parts) == 1 else BitMap.union(BitMap(), *parts)
            self._known[kind, key] = members
            for photo, is_member in self._changes.get((kind, key), {}).items():
                (members.add if is_member else members.discard)(photo)


def _deserialised(photos: bytes) -> BitMap:
    try:
        return BitMap.deserialize(photos)
    except ValueError as error:
        raise StoreError(
            "a set of photos in the database is damaged",
            remedy="photoramd db check makes the sets anew",
        ) from error
