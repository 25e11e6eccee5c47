"""All photos by date, with their shapes, in memory: what pages of them are laid out by.

Twenty-one bytes for a photo. It is read once and then kept current by the journal of changes that
the sets have (`photoramd.database.derived`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch, snapshot
from photoramd.search.photo_table import PhotoTable

if TYPE_CHECKING:
    from typing import Self

Ids = npt.NDArray[np.uint32]
Codes = npt.NDArray[np.uint8]
Ticks = npt.NDArray[np.int64]
Days = npt.NDArray[np.int32]

FIRST, LAST = 35, 126
"""The codes of shapes: ASCII, from a quarter as wide as high to four times as wide."""

_LOW, _HIGH = 0.25, 4.0

_ROWS = 50_000
"""Photos that are read at a time: other threads go on in between."""

_MANY = 50
"""One hit among so many photos, or more, are marked rather than sorted."""

_TICKS = 1 << 22
"""Of a second. Dates of this century are whole numbers of them: they have no more bits."""

_UNDATED = -(1 << 62)
_DAY = 86_400 * _TICKS


def codes_of(ratios: npt.ArrayLike) -> Codes:
    """Return the codes of shapes: the ratio is 0.25 * 16 ** ((code - 35) / 91).

    Args:
        ratios: Width by height, in millionths; 0 is not known and like 4:3.
    """
    ratio = np.asarray(ratios, np.float64) / 1e6
    ratio = np.clip(np.where(ratio > 0, ratio, 4 / 3), _LOW, _HIGH)
    part = np.log(ratio / _LOW) / np.log(_HIGH / _LOW)
    result: Codes = np.rint(FIRST + part * (LAST - FIRST)).astype(np.uint8)
    return result


UNKNOWN = int(codes_of(0))
"""The code of a photo whose size is not known."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """Photos in an order.

    Attributes:
        ids: The photos.
        codes: Their shapes.
        days: Runs of photos of one day: days since 1970-01-01 on the camera's clock.
        counts: How many photos each run has. What is left over is undated, and the last.
    """

    ids: Ids
    codes: Codes
    days: Days
    counts: npt.NDArray[np.int64]


class Timeline:
    """All photos whose files were read, the latest first; those without a date are the last.

    Args:
        seen: The last change in it.
        ids: In that order.
        ticks: Of the same photos, the camera's clock.
        codes: Their shapes.
    """

    def __init__(self, seen: int, ids: Ids, ticks: Ticks, codes: Codes) -> None:
        self.seen = seen
        self._ids = ids
        self._ticks = ticks
        self._codes = codes
        self._dated = int(np.count_nonzero(ticks > _UNDATED))
        self._days: Days = np.floor_divide(ticks[: self._dated], _DAY).astype(np.int32)
        self._ranks = PhotoTable(ids, np.arange(len(ids), dtype=np.uint32), len(ids))

    def __len__(self) -> int:
        return len(self._ids)

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Self:
        """Read all photos: a second for a million.

        Raises:
            StoreError: The database cannot be read, or is an earlier version's.
        """
        parts = []
        with snapshot(connection):
            _, seen = _journal(connection)
            last = -1
            while True:
                part = _read(
                    connection,
                    "SELECT * FROM looks WHERE photo_id > ? ORDER BY photo_id LIMIT ?",
                    (last, _ROWS),
                )
                if not len(part[0]):
                    break
                parts.append(part)
                last = int(part[0].max())
            parts.append(part)
        ids, ticks, codes = (np.concatenate(each) for each in zip(*parts, strict=True))
        # The latest first; of the same moment the one with the greater id, as in `order`.
        order = np.lexsort((ids, ticks))[::-1]
        return cls(seen, ids[order], ticks[order], codes[order])

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
                rows = _read(
                    connection,
                    """SELECT l.* FROM json_each(?) asked
                       CROSS JOIN looks l ON l.photo_id = asked.value""",
                    (json.dumps(changed),),
                )
                return self._with(last, changed, *rows)
        # Changes that were never seen are no longer in the journal, or it is another one.
        return self.load(connection)

    def _with(
        self, seen: int, changed: Sequence[int], ids: Ids, ticks: Ticks, codes: Codes
    ) -> Self:
        """Return the same with other looks of some photos; those that are not given have none."""
        if not changed:
            self.seen = seen
            return self
        ranks = self._ranks.of(np.array(changed, np.uint32))
        old = ranks[ranks < len(self)]
        kept_ids: Ids = np.delete(self._ids, old)
        kept_ticks: Ticks = np.delete(self._ticks, old)
        kept_codes: Codes = np.delete(self._codes, old)
        order = np.lexsort((ids, ticks))[::-1]
        places = _places(kept_ids, kept_ticks, ids[order], ticks[order])
        return type(self)(
            seen,
            np.insert(kept_ids, places, ids[order]),
            np.insert(kept_ticks, places, ticks[order]),
            np.insert(kept_codes, places, codes[order]),
        )

    def arranged(self, hits: BitMap) -> Arranged:
        """Return photos, the latest first and those without a date last."""
        wanted = ids_of(hits)
        ranks = self._ranks.of(wanted)
        is_dated = ranks < self._dated
        chosen: npt.NDArray[np.integer[Any]]
        if len(wanted) * _MANY < len(self):
            chosen = np.sort(ranks[is_dated])
        else:
            marks = np.zeros(self._dated, np.bool_)
            marks[ranks[is_dated]] = True
            chosen = np.flatnonzero(marks)
        undated = wanted[~is_dated][::-1]
        days = self._days[chosen]
        begins = np.flatnonzero(np.diff(days, prepend=days[:1] + 1))
        return Arranged(
            np.concatenate([self._ids[chosen], undated]),
            np.concatenate([self._codes[chosen], self.codes(undated)]),
            days[begins],
            np.diff(begins, append=len(days)),
        )

    def codes(self, ids: Ids) -> Codes:
        """Return the codes of photos' shapes."""
        ranks = self._ranks.of(ids)
        found: Codes = np.full(len(ids), UNKNOWN, np.uint8)
        is_known = ranks < len(self)
        found[is_known] = self._codes[ranks[is_known]]
        return found


def ids_of(hits: BitMap) -> Ids:
    """Return ids as numbers of numpy, rising."""
    return np.frombuffer(hits.to_array(), np.uint32)


def _places(ids: Ids, ticks: Ticks, new_ids: Ids, new_ticks: Ticks) -> npt.NDArray[np.intp]:
    """Return before which places photos belong, all of them in their order."""
    begins = np.searchsorted(-ticks, -new_ticks, side="left")
    ends = np.searchsorted(-ticks, -new_ticks, side="right")
    within = [
        begin + np.searchsorted(-ids[begin:end].astype(np.int64), -int(number))
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


def _read(
    connection: sqlite3.Connection, rows: str, values: Sequence[object]
) -> tuple[Ids, Ticks, Codes]:
    """Return ids, times and shapes of rows of looks."""
    # Texts of all numbers: a third of what rows of them would cost.
    columns = (
        "photo_id",
        f"ifnull(CAST(taken * {_TICKS} AS INTEGER), {_UNDATED})",
        "ifnull(CAST(width * 1e6 / height AS INTEGER), 0)",
    )
    texts = ", ".join(f"json_group_array({column})" for column in columns)
    found = fetch(connection, f"SELECT {texts} FROM ({rows})", values)  # noqa: S608
    ids, ticks, ratios = (np.fromstring(text.strip("[]"), np.int64, sep=",") for text in found[0])
    return ids.astype(np.uint32), np.maximum(ticks, _UNDATED), codes_of(ratios)
