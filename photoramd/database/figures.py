"""What only the running daemon knows, as one row for other processes."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.lock import holder
from photoramd.database.readonly import fetch, has_table


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a daemon; all counts are since `started_at`.

    Attributes:
        process: Its process id.
        started_at: When it began to watch: at its start, or with its present configuration.
        model: The model.
        revision: Its revision.
        is_model_available: Whether the model takes photos: it does not rest after failures.
        written: Photos whose keywords were written.
        not_written: How often keywords could not be written, for now.
        failed: How often a photo could not be decoded or tagged.
        undone: Photos whose tags were taken back.
        inferred: Pictures that the model looked at; equal ones count once.
        inference_seconds: How long that took.
        workers_started: Processes that were started to look into files.
        workers_lost: Those that a file took down, or that took too long for one.
    """

    process: int
    started_at: UnixTime
    model: str
    revision: str
    is_model_available: bool = True
    written: int = 0
    not_written: int = 0
    failed: int = 0
    undone: int = 0
    inferred: int = 0
    inference_seconds: float = 0.0
    workers_started: int = 0
    workers_lost: int = 0


_COLUMNS = ", ".join(each.name for each in fields(Figures))


def store(database: Database, figures: Figures, now: UnixTime) -> None:
    """Store figures in the place of all earlier ones.

    Raises:
        StoreError: The database failed.
    """
    marks = ", ".join("?" * len(fields(Figures)))
    with database.transaction() as db:
        db.execute(
            f"INSERT OR REPLACE INTO figures (id, stored_at, {_COLUMNS}) VALUES (1, ?, {marks})",  # noqa: S608
            (now, *astuple(figures)),
        )


def stored(connection: sqlite3.Connection) -> tuple[Figures, UnixTime] | None:
    """Return the figures that were stored last, and when; None if there are none yet.

    Raises:
        StoreError: The database cannot be read.
    """
    if not has_table(connection, "figures"):
        return None
    rows = fetch(connection, f"SELECT stored_at, {_COLUMNS} FROM figures")  # noqa: S608
    return (Figures(*rows[0][1:]), rows[0][0]) if rows else None


def is_running(
    connection: sqlite3.Connection, figures: Figures, database: Path | None = None
) -> bool:
    """Return whether the daemon that stored figures runs: it owns the database still.

    Args:
        connection: From `open_readonly`.
        figures: Of that.
        database: The path of the database as it is configured; None: as SQLite knows it, without
            links.

    Raises:
        StoreError: The database cannot be read.
    """
    if database is None:
        # As bytes: names on disk are not always UTF-8.
        sql = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
        database = Path(os.fsdecode(fetch(connection, sql)[0][0]))
    return holder(database) in (figures.process, 0)
