"""How things are: photos by state, why some wait, and the watched directories."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.columns import path_of
from photoramd.database.conditions import QUEUED, UNREAD
from photoramd.database.health import RootState
from photoramd.database.readonly import fetch, has_table
from photoramd.photo import PhotoState
from photoramd.search.places import Reason, knows_places


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A watched directory as the daemon last saw it.

    Attributes:
        path: Absolute.
        health: Its state.
        reason: Why it is not online.
        remedy: What the user can do about it.
        since: When this state began.
        scanned_at: When the last scan was complete.
        raw_left_out: The number of RAW files there that cannot be decoded here.
        scanning_since: When the present scan began; None if none runs, or it has just begun.
        scanned_photos: How many photos that has seen.
    """

    path: Path
    health: RootState
    reason: str | None
    remedy: str | None
    since: UnixTime
    scanned_at: UnixTime | None
    raw_left_out: int = 0
    scanning_since: UnixTime | None = None
    scanned_photos: int | None = None


def counts(connection: sqlite3.Connection) -> dict[PhotoState, int]:
    """Return how many photos are in each state, in the order of `PhotoState`."""
    # By the indexes of what waits and of what is missing, and without the others, one by one.
    found = dict(
        fetch(
            connection,
            f"""SELECT state, count(*) FROM photos WHERE {QUEUED} GROUP BY state
                UNION ALL SELECT 'missing', count(*) FROM photos WHERE state = 'missing'
                UNION ALL SELECT 'written', count(*) FROM photos""",  # noqa: S608
        )
    )
    found["written"] -= sum(n for state, n in found.items() if state != "written")
    return {state: found.get(state, 0) for state in PhotoState}


def reasons(connection: sqlite3.Connection, limit: int = 10) -> list[Reason]:
    """Return why photos failed or are retried, the most frequent reason first."""
    rows = fetch(
        connection,
        f"""SELECT d.path, p.name, g.reason, g.photos
            FROM (SELECT reason, count(*) AS photos, min(id) AS example FROM photos
                  WHERE reason IS NOT NULL AND {QUEUED} GROUP BY reason) g
            JOIN photos p ON p.id = g.example JOIN directories d ON d.id = p.directory_id
            ORDER BY g.photos DESC, g.reason LIMIT ?""",  # noqa: S608
        [limit],
    )
    return [
        Reason(text, photos, path_of(directory, name)) for directory, name, text, photos in rows
    ]


def paths_with_reason(connection: sqlite3.Connection, reason: str) -> list[str]:
    """Return the paths of the photos that failed for a reason, by id.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        f"""SELECT d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
            WHERE p.state = 'failed' AND p.reason = ? AND p.{QUEUED} ORDER BY p.id""",  # noqa: S608
        [reason],
    )
    return [os.fspath(path_of(directory, name)) for directory, name in rows]


def paths_of(connection: sqlite3.Connection, ids: Sequence[int]) -> list[str]:
    """Return the paths of photos, without those that are not known.

    Raises:
        StoreError: The database cannot be read.
    """
    rows = fetch(
        connection,
        """SELECT d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id
           WHERE p.id IN (SELECT value FROM json_each(?))""",
        [json.dumps(list(ids))],
    )
    return [os.fspath(path_of(directory, name)) for directory, name in rows]


def roots(connection: sqlite3.Connection) -> list[RootStatus]:
    """Return the watched directories as the daemon last saw them, by path."""
    columns = "path, health, reason, remedy, since, scanned_at, raw_left_out"
    if knows_places(connection):  # and so it knows these
        columns += ", scanning_since, scanned_photos"
    rows = fetch(connection, f"SELECT {columns} FROM roots ORDER BY path")  # noqa: S608
    return [
        RootStatus(Path(os.fsdecode(path)), RootState(health), *rest)
        for path, health, *rest in rows
    ]


def to_renew(connection: sqlite3.Connection) -> int:
    """Return how many photos have tags of an earlier revision of the present model.

    Raises:
        StoreError: The database cannot be read.
    """
    if not has_table(connection, "present_model"):
        return 0
    ((count,),) = fetch(
        connection,
        """SELECT count(*) FROM photos WHERE state <> 'missing' AND undone_at IS NULL
           AND result_id IN (SELECT r.id FROM present_model m CROSS JOIN results r
                             ON r.model = m.model AND r.revision <> m.revision)""",
    )
    return int(count)


def to_read(connection: sqlite3.Connection) -> int:
    """Return how many photos are yet to be read for keywords and what they say of themselves.

    Raises:
        StoreError: The database cannot be read.
    """
    if not has_table(connection, "looks"):
        return 0
    ((count,),) = fetch(
        connection,
        f"SELECT count(*) FROM photos WHERE {UNREAD}",  # noqa: S608
    )
    return int(count)


def seconds_left(connection: sqlite3.Connection, waiting: int, now: UnixTime) -> float | None:
    """Return how long the model will take for the photos that wait, as fast as it was lately.

    None if it tagged too few in the last minutes to tell.
    """
    pace = photos_a_minute(connection, now)
    return None if pace is None else waiting * 60.0 / pace


def photos_a_minute(connection: sqlite3.Connection, now: UnixTime) -> float | None:
    """Return how many photos were tagged in a minute lately; None if too few were to tell."""
    ((tagged, first),) = fetch(
        connection,
        "SELECT count(*), min(tagged_at) FROM photos WHERE tagged_at > ?",
        [now - _LATELY_SECONDS],
    )
    return None if tagged < _ENOUGH or now <= first else 60.0 * tagged / (now - first)


_LATELY_SECONDS, _ENOUGH = 300.0, 10
