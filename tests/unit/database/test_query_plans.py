"""Which indexes serve the statements that are frequent or concern many photos."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Store
from photoramd.search import queries


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


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
        lambda store, _: store.due(1000, 8),
        lambda store, _: store.due_writes(1000, 8),
        lambda store, _: store.next_due(),
        lambda store, _: store.waiting(),
        lambda store, _: store.hold("/a", 1),
        lambda store, _: store.release("/a"),
        lambda store, _: store.clamp_retries(1),
        lambda store, _: store.retry_writes("/album", "a"),
        lambda _, ledger: ledger.rest(7, "full", 20),
    ],
    ids=[
        "due", "due_writes", "next_due", "waiting", "hold", "release", "clamp_retries",
        "retry_writes", "rest",
    ],
)  # fmt: skip
def test_questions_of_the_loop_do_not_read_finished_photos(
    ask: Callable[[Store, Ledger], object],
    store: Store,
    database: Database,
    connection: sqlite3.Connection,
) -> None:
    """They are asked twice a second, and there may be a million."""
    found = plans(connection, lambda: ask(store, Ledger(database)), "photos")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found
    assert [plan for plan in found if plan.startswith("SCAN") or "B-TREE" in plan] == []


def test_photos_outside_the_watched_directories_are_found_by_the_queue(
    store: Store, connection: sqlite3.Connection
) -> None:
    found = plans(connection, lambda: store.leave_out(lambda _: True), "FROM photos p")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found


def test_reasons_are_counted_in_the_queue(database: Database) -> None:
    with closing(queries.open_readonly(database.path)) as connection:
        found = plans(connection, lambda: queries.reasons(connection), "reason")
    assert any("photos_queue" in plan or "photos_retry" in plan for plan in found), found


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.directories_under("/album"),
        lambda store: store.under(Path("/album")),
        lambda store: store.retag("/album", only_failed=False),
        lambda store: store.undo("/album", 1),
        lambda store: store.move_devices("/album", {1: 2}, {}),
    ],
    ids=["directories_under", "under", "retag", "undo", "move_devices"],
)
def test_directories_below_one_are_found_by_their_index(
    ask: Callable[[Store], object], store: Store, connection: sqlite3.Connection
) -> None:
    found = plans(connection, lambda: ask(store), "path >= ")
    assert any("(path>? AND path<?)" in plan for plan in found), found
    assert not [plan for plan in found if plan.startswith(("SCAN directories", "SCAN d"))]
