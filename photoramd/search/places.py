"""Where keywords are: in sidecars or inside photos, and why."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from photoramd.database.columns import path_of
from photoramd.database.readonly import fetch
from photoramd.metadata.changes import SEED, Place


@dataclass(frozen=True, slots=True)
class Reason:
    """Why photos failed or are retried, how many, and one of them."""

    text: str
    photos: int
    example: Path


def knows_places(connection: sqlite3.Connection) -> bool:
    """Return whether the database has these columns: the next start adds them to an older one."""
    columns = fetch(connection, "SELECT name FROM pragma_table_info('photos')")
    return ("place",) in columns


def counts(connection: sqlite3.Connection) -> dict[Place, int]:
    """Return how many photos have their keywords in each place."""
    if not knows_places(connection):
        return dict.fromkeys(Place, 0)
    found = dict(
        fetch(
            connection,
            "SELECT place, count(*) FROM photos WHERE place IS NOT NULL GROUP BY place",
        )
    )
    return {place: found.get(place, 0) for place in Place}


def fallbacks(connection: sqlite3.Connection, limit: int = 10) -> list[Reason]:
    """Return why keywords are in sidecars and not inside photos, the most frequent reason first."""
    if not knows_places(connection):
        return []
    rows = fetch(
        connection,
        """SELECT d.path, p.name, g.fallback, g.photos
           FROM (SELECT fallback, count(*) AS photos, min(id) AS example FROM photos
                 WHERE place IS NOT NULL AND fallback IS NOT NULL GROUP BY fallback) g
           JOIN photos p ON p.id = g.example JOIN directories d ON d.id = p.directory_id
           ORDER BY g.photos DESC, g.fallback LIMIT ?""",
        [limit],
    )
    return [
        Reason(text, photos, path_of(directory, name)) for directory, name, text, photos in rows
    ]


def seeds(connection: sqlite3.Connection, sidecar: Path) -> tuple[str, ...]:
    """Return the digests of what a sidecar of ours began with, as far as that is known."""
    rows = fetch(
        connection,
        """SELECT l.value FROM photos p JOIN directories d ON d.id = p.directory_id
           JOIN ledger l ON l.photo_id = p.id
           WHERE d.path = ? AND p.sidecar = ? AND p.created = 1 AND l.field = ?""",
        [os.fsencode(sidecar.parent), os.fsencode(sidecar), SEED],
    )
    return tuple(value for (value,) in rows)
