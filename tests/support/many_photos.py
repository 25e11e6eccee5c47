"""A database of many photos, made in seconds: rows and sets, no files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from photoramd.database import derived
from photoramd.database.connection import Database

YEARS = 24
FIRST_YEAR = 2000

_DAY = 86_400
_FOLDERS = 500
_LABELS = 50


def make(path: Path, count: int) -> None:
    """Make a database of photos that were taken from 2000 to 2023, evenly.

    Each second photo has one of 50 tags, ``thing0`` to ``thing49``; two of three are wide.
    """
    with Database(path) as database, database.transaction() as db:
        # Noting each row for the sets would take most of the time, and keeping indexes in order
        # most of the rest; they are made at the end.
        made = db.execute(
            """SELECT type, name, sql FROM sqlite_master
               WHERE type IN ('trigger', 'index') AND sql IS NOT NULL ORDER BY type"""
        )
        known = made.fetchall()
        for kind, name, _ in known:
            db.execute(f"DROP {kind} {name}")
        _fill(db, count)
        for _, _, sql in known:
            db.execute(sql)
        derived.make(db)


def _fill(db: sqlite3.Connection, count: int) -> None:
    db.execute("INSERT INTO roots (path, health, since) VALUES (?, 'online', 0)", (b"/photos",))
    db.execute("INSERT INTO formats (id, name) VALUES (1, 'JPEG')")
    db.executemany(
        "INSERT INTO labels (id, name, folded) VALUES (?1, ?2, ?2)",
        [(n + 1, f"thing{n}") for n in range(_LABELS)],
    )
    years = [FIRST_YEAR + n * YEARS // _FOLDERS for n in range(_FOLDERS)]
    db.executemany(
        "INSERT INTO directories (id, path) VALUES (?, ?)",
        [(n + 1, f"/photos/{year}/{n:04}".encode()) for n, year in enumerate(years)],
    )
    db.executemany(
        """INSERT INTO photos (id, directory_id, name, size, mtime_ns, device, inode, state,
                               found_at)
           VALUES (?1, ?2, ?3, 1000000, ?1 * 1000000000, 1, ?1, 'written', 1.6e9)""",
        ((n + 1, n * _FOLDERS // count + 1, f"IMG_{n:06}.jpg".encode()) for n in range(count)),
    )
    begin = (FIRST_YEAR - 1970) * 365.2425 * _DAY
    step = YEARS * 365.2425 * _DAY / count
    db.executemany(
        "INSERT INTO looks (photo_id, width, height, format_id, taken) VALUES (?, ?, ?, 1, ?)",
        (
            (n + 1, *((6000, 4000) if n % 3 else (4000, 6000)), begin + (n + 0.5) * step)
            for n in range(count)
        ),
    )
    db.executemany(
        "INSERT INTO keywords (photo_id, label_id, confidence) VALUES (?, ?, 0.9)",
        ((n + 1, n // 2 % _LABELS + 1) for n in range(0, count, 2)),
    )
