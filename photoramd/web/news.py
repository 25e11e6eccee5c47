"""What is new in the database since the last look, at little cost when nothing is."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from photoramd.clock import UnixTime, unix_time
from photoramd.database.conditions import QUEUED
from photoramd.database.edited import edit_progress, has_edits
from photoramd.database.lock import holder
from photoramd.database.readonly import fetch, open_readonly
from photoramd.search.overview import photos_a_minute
from photoramd.web.readers import identity

STATUS_SECONDS = 2.0
"""Photos are counted at most this often,"""

RENEWAL_SECONDS = 15.0
"""and at least this often: how many were tagged lately changes by itself."""

_MOST_EDITS = 8
"""Of many that are under way, the last ones are told of."""


class LiveStatus(msgspec.Struct, frozen=True):
    """How far the daemon is.

    Attributes:
        running: Whether a daemon or scan has the database.
        pending: How many photos wait to be tagged.
        failed: How many failed.
        photos_a_minute: How fast photos were tagged lately; null if too few were.
    """

    running: bool
    pending: int
    failed: int
    photos_a_minute: float | None


class Change(msgspec.Struct, frozen=True):
    """Photos or their tags changed.

    Attributes:
        version: Another one for each state of them.
    """

    version: str


class EditNews(msgspec.Struct, frozen=True):
    """How far an edit is, in changes: photos times tags.

    Attributes:
        id: The edit.
        pending: Not in the files yet.
        done: In the files.
        failed: Refused.
    """

    id: int
    pending: int
    done: int
    failed: int


class Lookout:
    """Looks at a database from time to time; from any thread.

    Args:
        database: The file.
        now: The present time.
    """

    def __init__(self, database: Path, now: Callable[[], UnixTime] = unix_time) -> None:
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: object = None
        self._data_version = -1
        self._is_stale = True
        self._counted_at = UnixTime(0.0)
        self._running = False
        self._last_edit = -1
        self._unfinished: set[int] = set()
        self._told: dict[tuple[str, int], msgspec.Struct] = {}

    def close(self) -> None:
        """Close the database and forget what was told."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._told.clear()

    def look(self) -> list[tuple[str, msgspec.Struct]]:
        """Return what is new: names of events, and what they say.

        Raises:
            StoreError: The database cannot be read.
        """
        with self._lock:
            try:
                found = list(self._look())
            except BaseException:
                # What was found so far is not told: all of it is, at the next look.
                self._close()
                raise
            new = []
            for name, news in found:
                key = (name, news.id if isinstance(news, EditNews) else 0)
                if self._told.get(key) != news:
                    self._told[key] = news
                    new.append((name, news))
            return new

    def _look(self) -> Iterator[tuple[str, msgspec.Struct]]:
        connection, now = self._open(), self._now()
        ((data_version,),) = fetch(connection, "PRAGMA data_version")
        if data_version != self._data_version:
            self._data_version, self._is_stale = data_version, True
            yield "change", Change(_version(connection))
            for news in self._edits(connection):
                yield "edit", news
        running = holder(self._database) is not None
        age = abs(now - self._counted_at)
        is_due = (self._is_stale and age >= STATUS_SECONDS) or age >= RENEWAL_SECONDS
        if is_due or running != self._running:
            self._is_stale, self._counted_at, self._running = False, now, running
            yield "status", status_now(connection, running, now)

    def _edits(self, connection: sqlite3.Connection) -> list[EditNews]:
        """Return how far edits are that are under way, were so before, or came since."""
        if not has_edits(connection):
            return []
        ((last,),) = fetch(connection, "SELECT coalesce(max(id), 0) FROM edits")
        is_first, begin = self._last_edit < 0, max(self._last_edit, last - _MOST_EDITS)
        numbers = sorted(self._unfinished | set(range(begin + 1, last + 1)))[-_MOST_EDITS:]
        found = [edit_progress(connection, number) for number in numbers]
        self._last_edit = last
        self._unfinished = {each.edit_id for each in found if each.pending}
        return [
            EditNews(each.edit_id, each.pending, each.done, each.failed)
            for each in found
            if each.pending or not is_first
        ]

    def _open(self) -> sqlite3.Connection:
        present = identity(self._database)
        if self._connection is None or self._identity != present:
            self._close()
            self._connection = open_readonly(self._database)
            self._identity = present
            self._data_version, self._counted_at, self._last_edit = -1, UnixTime(0.0), -1
        return self._connection


def _version(connection: sqlite3.Connection) -> str:
    # Triggers note there whatever changes what photos are found by.
    rows = fetch(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'set_changes'")
    return str(rows[0][0]) if rows else "0"


def status_now(connection: sqlite3.Connection, running: bool, now: UnixTime) -> LiveStatus:
    """Return how far the daemon is."""
    counts = dict(
        fetch(
            connection,
            f"""SELECT state, count(*) FROM photos WHERE {QUEUED} AND state IN ('pending', 'failed')
                GROUP BY state""",  # noqa: S608
        )
    )
    pace = photos_a_minute(connection, now)
    return LiveStatus(
        running,
        counts.get("pending", 0),
        counts.get("failed", 0),
        None if pace is None else round(pace, 1),
    )
