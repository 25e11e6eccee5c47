"""Which indexes serve the statements that are frequent or concern many photos."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.editing import Editing
from photoramd.database.given import note_written
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.requests import Requests
from photoramd.search import queries


@pytest.fixture
def connection(database: Database) -> sqlite3.Connection:
    """The connection that the store writes with, for a look at its statements."""
    with database.transaction() as opened:
        return opened


def plans(connection: sqlite3.Connection, ask: Callable[[], object], about: str) -> list[str]:
    """How SQLite carries out the statements of a function that contain a text."""
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    ask()
    connection.set_trace_callback(None)
    chosen = [sql.lstrip() for sql in asked if about in sql]
    return [
        str(row[3])
        for sql in chosen
        if sql.startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda queue, _: queue.due(1000, 8),
        lambda queue, _: queue.due_writes(1000, 8),
        lambda queue, _: queue.next_due(),
        lambda queue, _: queue.waiting(),
        lambda queue, _: queue.hold("/a", 1),
        lambda queue, _: queue.release("/a"),
        lambda queue, _: queue.clamp_retries(1),
        lambda queue, _: queue.retry_writes("/album", "a"),
        lambda _, ledger: ledger.rest(7, "full", 20),
    ],
    ids=[
        "due", "due_writes", "next_due", "waiting", "hold", "release", "clamp_retries",
        "retry_writes", "rest",
    ],
)  # fmt: skip
def test_questions_of_the_loop_do_not_read_finished_photos(
    ask: Callable[[Queue, Ledger], object],
    database: Database,
    connection: sqlite3.Connection,
) -> None:
    """They are asked twice a second, and there may be a million."""
    found = plans(connection, lambda: ask(Queue(database), Ledger(database)), "photos")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found
    assert [plan for plan in found if plan.startswith("SCAN") or "B-TREE" in plan] == []


def test_photos_outside_the_watched_directories_are_found_by_the_queue(
    database: Database, connection: sqlite3.Connection
) -> None:
    found = plans(connection, lambda: Queue(database).leave_out(lambda _: True), "FROM photos p")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found


def test_reasons_are_counted_in_the_queue(database: Database) -> None:
    with closing(queries.open_readonly(database.path)) as connection:
        found = plans(connection, lambda: queries.reasons(connection), "reason")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found


@pytest.mark.parametrize(
    "ask",
    [
        lambda database: Photos(database).directories_under("/album"),
        lambda database: Photos(database).under(Path("/album")),
        lambda database: Requests(database).retag("/album", only_failed=False),
        lambda database: Requests(database).undo("/album", 1),
        lambda database: Photos(database).move_devices("/album", {1: 2}, {}),
    ],
    ids=["directories_under", "under", "retag", "undo", "move_devices"],
)
def test_directories_below_one_are_found_by_their_index(
    ask: Callable[[Database], object], database: Database, connection: sqlite3.Connection
) -> None:
    found = plans(connection, lambda: ask(database), "path >= ")
    assert any("(path>? AND path<?)" in plan for plan in found), found
    assert not [plan for plan in found if plan.startswith(("SCAN directories", "SCAN d"))]


def test_edits_that_wait_are_found_without_reading_those_that_are_done(
    database: Database, connection: sqlite3.Connection
) -> None:
    """The loop asks for them at every turn."""
    found = plans(connection, lambda: Editing(database).step(UnixTime(1)), "edit_changes")
    assert found == ["SCAN edit_changes USING INDEX edit_changes_unapplied"]
    with database.transaction() as db:
        found = plans(connection, lambda: note_written(db, 1, UnixTime(1)), "edit_changes")
    assert found == ["SEARCH edit_changes USING INDEX edit_changes_photo (photo_id=?)"]
