"""All photos by date, with their shapes, in memory: what pages of them are laid out by.

Thirteen bytes for a photo, and four to find it by its id. It is read once and then kept current by
the journal of changes that the sets have (`photoramd.database.derived`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch, snapshot

if TYPE_CHECKING:
    from typing import Self

Ids = npt.NDArray[np.uint32]
Codes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]

FIRST, LAST = 35, 126
"""The codes of shapes: ASCII, from a quarter as wide as high to four times as wide."""

_LOW, _HIGH = 0.25, 4.0

_ROWS = 20_000
"""Rows that are read at a time: other threads go on in between."""

_MANY = 50
"""One hit among so many photos, or more, are marked rather than sorted."""

_CHUNK = 1 << 16
"""Ids are looked up by chunk, as in the sets: a table of all that there may be would be 16 GB."""

_DAY = 86_400.0
_FARTHEST = 1e11
"""Seconds; no calendar goes as far, and no damaged date may overflow one."""


def code_of(width: npt.ArrayLike, height: npt.ArrayLike) -> Codes:
    """Return the codes of shapes: the ratio is 0.25 * 16 ** ((code - 35) / 91).

    Args:
        width: In pixels; 0 is not known.
        height: Likewise.
    """
    wide, high = np.asarray(width, np.float64), np.asarray(height, np.float64)
    is_known = (wide > 0) & (high > 0)
    ratio = np.where(is_known, wide, 4.0) / np.where(is_known, high, 3.0)
    part = np.log(np.clip(ratio, _LOW, _HIGH) / _LOW) / np.log(_HIGH / _LOW)
    result: Codes = np.rint(FIRST + part * (LAST - FIRST)).astype(np.uint8)
    return result


UNKNOWN = int(code_of(4, 3))
"""The code of a photo whose size is not known."""


Run = tuple[int | None, int]
"""Photos of one day beside each other: days since 1970-01-01 on the camera's clock, None if that is
not known, and how many photos."""


class Timeline:
    """All photos whose files were read, the latest first; those without a date are the last.

    Args:
        seen: The last change in it.
        ids: In that order.
        taken: Of the same photos, the camera's clock in seconds; nan: not known.
        codes: Their shapes.
    """

    def __init__(self, seen: int, ids: Ids, taken: Times, codes: Codes) -> None:
        self.seen = seen
        self._ids = ids
        self._taken = taken
        self._codes = codes
        self._dated = len(taken) - int(np.isnan(taken).sum())
        # Where each chunk begins in the table of ranks; those that have no photo share the first.
        chunks = np.unique(ids >> 16)
        self._begins = np.zeros(_CHUNK, np.int64)
        self._begins[chunks] = np.arange(1, len(chunks) + 1) * _CHUNK
        self._ranks = np.full((len(chunks) + 1) * _CHUNK, len(ids), np.uint32)
        self._ranks[self._slots(ids)] = np.arange(len(ids), dtype=np.uint32)

    def __len__(self) -> int:
        return len(self._ids)

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Self:
        """Read all photos: a second for a million.

        Raises:
            StoreError: The database cannot be read, or is an earlier version's.
        """
        parts: list[npt.NDArray[np.float64]] = []
        with snapshot(connection):
            _, seen = _journal(connection)
            last = -1
            while rows := fetch(
                connection,
                "SELECT photo_id, taken, width, height FROM looks WHERE photo_id > ?"
                " ORDER BY photo_id LIMIT ?",
                (last, _ROWS),
            ):
                last = rows[-1][0]
                parts.append(np.array(rows, np.float64))
        ids, taken, codes = _columns(parts)
        # The latest first; of the same moment the one with the greater id, as in `order`.
        order = np.argsort(-taken[::-1], kind="stable")
        return cls(seen, ids[::-1][order], taken[::-1][order], codes[::-1][order])

    def refreshed(self, connection: sqlite3.Connection) -> Self:
        """Return what the database has now; this itself if nothing has changed.

        Raises:
            StoreError: The database cannot be read.
        """
        with snapshot(connection):
            folded, last = _journal(connection)
            if last == self.seen:
                return self
            if folded <= self.seen < last:
                changed = _changed(connection, self.seen)
                return self._with(last, changed, _looks(connection, changed))
        # Changes that were never seen are no longer in the journal, or it is another one.
        return self.load(connection)

    def _with(self, seen: int, changed: Sequence[int], rows: Sequence[Sequence[object]]) -> Self:
        """Return the same with other looks of some photos; those without a row have none now."""
        if not changed:
            return type(self)(seen, self._ids, self._taken, self._codes)
        ranks = self._ranks[self._slots(np.array(changed, np.uint32))]
        old = ranks[ranks < len(self)]
        ids: Ids = np.delete(self._ids, old)
        taken: Times = np.delete(self._taken, old)
        codes: Codes = np.delete(self._codes, old)
        new_ids, new_taken, new_codes = _columns([np.array(rows, np.float64)] if rows else [])
        order = np.lexsort((-new_ids.astype(np.int64), -new_taken))
        places = _places(ids, taken, new_ids[order], new_taken[order])
        return type(self)(
            seen,
            np.insert(ids, places, new_ids[order]),
            np.insert(taken, places, new_taken[order]),
            np.insert(codes, places, new_codes[order]),
        )

    def arranged(self, hits: BitMap) -> tuple[Ids, list[Run]]:
        """Return photos, the latest first and those without a date last, and their days."""
        wanted = ids_of(hits)
        ranks = self._ranks[self._slots(wanted)]
        is_dated = ranks < self._dated
        if len(wanted) * _MANY < len(self):
            chosen: npt.NDArray[np.integer[Any]] = np.sort(ranks[is_dated])
        else:
            marks = np.zeros(self._dated, np.bool_)
            marks[ranks[is_dated]] = True
            chosen = np.flatnonzero(marks)
        undated = wanted[~is_dated][::-1]
        runs = _runs(self._taken[chosen])
        if len(undated):
            runs.append((None, len(undated)))
        return np.concatenate([self._ids[chosen], undated]), runs

    def codes(self, ids: Ids) -> Codes:
        """Return the codes of photos' shapes."""
        ranks = self._ranks[self._slots(ids)]
        known = np.append(self._codes, np.uint8(UNKNOWN))
        result: Codes = known[ranks]
        return result

    def _slots(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Return where the ranks of photos are."""
        result: npt.NDArray[np.int64] = self._begins[ids >> 16] + (ids & (_CHUNK - 1))
        return result


def ids_of(hits: BitMap) -> Ids:
    """Return ids as numbers of numpy, rising."""
    return np.frombuffer(hits.to_array(), np.uint32)


def _runs(taken: Times) -> list[Run]:
    days = np.floor(np.clip(taken, -_FARTHEST, _FARTHEST) / _DAY).astype(np.int64)
    begins = np.flatnonzero(np.diff(days, prepend=days[:1] + 1))
    counts = np.diff(begins, append=len(days))
    return list(zip(days[begins].tolist(), counts.tolist(), strict=True))


def _columns(parts: Sequence[npt.NDArray[np.float64]]) -> tuple[Ids, Times, Codes]:
    """Return ids, times and codes from rows of id, time, width and height."""
    ids = [each[:, 0].astype(np.uint32) for each in parts]
    taken = [each[:, 1] for each in parts]
    codes = [code_of(each[:, 2], each[:, 3]) for each in parts]
    return (
        np.concatenate([np.zeros(0, np.uint32), *ids]),
        np.concatenate([np.zeros(0, np.float64), *taken]),
        np.concatenate([np.zeros(0, np.uint8), *codes]),
    )


def _places(ids: Ids, taken: Times, new_ids: Ids, new_taken: Times) -> npt.NDArray[np.intp]:
    """Return before which places photos belong, all of them in their order."""
    begins = np.searchsorted(-taken, -new_taken, side="left")
    ends = np.searchsorted(-taken, -new_taken, side="right")
    rising = -ids.astype(np.int64)
    within = [
        begin + np.searchsorted(rising[begin:end], -int(number))
        for begin, end, number in zip(begins, ends, new_ids, strict=True)
    ]
    return np.array(within, np.intp)


def _journal(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how far the changes are folded into the sets, and the last change."""
    ((folded, last),) = fetch(
        connection,
        "SELECT last_change, (SELECT seq FROM sqlite_sequence WHERE name = 'set_changes')"
        " FROM folded",
    )
    return folded or 0, last or 0


def _changed(connection: sqlite3.Connection, seen: int) -> list[int]:
    """Return the photos whose looks came or went: each has a format."""
    rows = fetch(
        connection,
        "SELECT DISTINCT photo_id FROM set_changes WHERE id > ? AND kind = ?",
        (seen, Kind.FORMAT),
    )
    return [number for (number,) in rows]


def _looks(connection: sqlite3.Connection, photos: Sequence[int]) -> list[tuple[object, ...]]:
    return fetch(
        connection,
        """SELECT l.photo_id, l.taken, l.width, l.height FROM json_each(?) asked
           CROSS JOIN looks l ON l.photo_id = asked.value""",
        (json.dumps(photos),),
    )
