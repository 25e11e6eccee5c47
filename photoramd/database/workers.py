"""The workers on which the model runs, as the daemon last met them, for other processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, fields

from photoramd.database.connection import Database
from photoramd.database.readonly import fetch, has_table
from photoramd.models.remote.state import WorkerState

_COLUMNS = ", ".join(each.name for each in fields(WorkerState))


def store_workers(database: Database, workers: Sequence[WorkerState]) -> None:
    """Store workers in the place of all earlier ones.

    Raises:
        StoreError: The database failed.
    """
    marks = ", ".join("?" * len(fields(WorkerState)))
    with database.transaction() as db:
        db.execute("DELETE FROM workers")
        for position, each in enumerate(workers):
            db.execute(
                f"INSERT INTO workers (position, {_COLUMNS}) VALUES (?, {marks})",  # noqa: S608
                (position, *astuple(each)),
            )


def stored_workers(connection: sqlite3.Connection) -> list[WorkerState]:
    """Return the workers in the order of the configuration; none if the model runs here.

    Raises:
        StoreError: The database cannot be read.
    """
    if not has_table(connection, "workers"):
        return []
    rows = fetch(connection, f"SELECT {_COLUMNS} FROM workers ORDER BY position")  # noqa: S608
    return [WorkerState(url, bool(is_available), *rest) for url, is_available, *rest in rows]
