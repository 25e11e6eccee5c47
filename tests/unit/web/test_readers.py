"""Readers: how long they take, what they share, and what ends them."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from photoramd.database.connection import connect
from photoramd.database.derived import Kind
from photoramd.database.readonly import open_readonly
from photoramd.errors import QueryError, StoreError
from photoramd.search import facets
from photoramd.web import current as current_module
from photoramd.web.current import Current
from photoramd.web.readers import Reader, Readers, SlowQuestionError
from tests.support.random_rows import Rows

FOR_EVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with photos."""
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer:
        writer.execute("BEGIN")
        Rows(writer, 2).fill(9)
        writer.execute("COMMIT")
    return path


def test_a_wrong_question_costs_no_reader_its_sets(path: Path) -> None:
    readers = Readers(path, seconds=0.05)
    seen: list[Reader] = []
    readers.ask_here(seen.append)

    def wrong(error: Exception) -> None:
        raise error

    with pytest.raises(QueryError):
        readers.ask_here(lambda _: wrong(QueryError("no", 1, remedy="x")))
    with pytest.raises(HTTPException):
        readers.ask_here(lambda _: wrong(HTTPException(404)))
    with pytest.raises(SlowQuestionError):
        readers.ask_here(lambda reader: reader.connection.execute(FOR_EVER).fetchall())
    readers.ask_here(seen.append)
    assert seen[0] is seen[1]
    with pytest.raises(StoreError):
        readers.ask_here(lambda _: wrong(StoreError("damaged")))
    readers.ask_here(seen.append)
    assert seen[2] is not seen[0]
    readers.close()


def test_all_readers_share_what_was_prepared(path: Path) -> None:
    readers = Readers(path)
    readers.prepare(lambda reader: facets.prepare(reader.sets))
    both: list[Reader] = []
    barrier = threading.Barrier(2)

    def ask() -> None:
        def question(reader: Reader) -> None:
            barrier.wait(30)  # so there are two
            both.append(reader)

        readers.ask_here(question)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (reader.sets._known for reader in both)
    assert one.keys() == other.keys()
    assert all(one[place] is other[place] for place in one)
    readers.close()


def test_another_database_in_the_place_of_one_is_read_anew(path: Path, tmp_path: Path) -> None:
    loads = []

    class Value:
        def __init__(self, connection: object) -> None:
            loads.append(connection)

        def refreshed(self, connection: object) -> Value:
            return self

    current = Current(path, Value)
    first = current.get()
    assert current.get() is first
    assert len(loads) == 1
    other = tmp_path / "other.db"
    connect(other).close()
    other.replace(path)
    assert current.get() is not first
    path.unlink()
    with pytest.raises(StoreError):
        current.get()


def test_what_was_prepared_is_not_shared_with_readers_of_another_database(
    path: Path, tmp_path: Path
) -> None:
    readers = Readers(path)

    def present(reader: Reader) -> int:
        return len(reader.sets.one(Kind.PRESENT))

    readers.prepare(present)
    other = tmp_path / "other.db"
    connect(other).close()

    def question(reader: Reader) -> tuple[int, int]:
        other.replace(path)
        # This reader is in use, and so another one is opened.
        return present(reader), readers.ask_here(present)

    before, after = readers.ask_here(question)
    assert before > 0
    assert after == 0
    readers.close()


def test_a_database_that_is_replaced_while_it_is_opened_is_seen(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Count:
        def __init__(self, connection: sqlite3.Connection) -> None:
            ((self.photos,),) = connection.execute("SELECT count(*) FROM photos")

        def refreshed(self, connection: sqlite3.Connection) -> Count:
            return self

    other = tmp_path / "other.db"
    connect(other).close()

    def open_late(database: Path) -> sqlite3.Connection:
        connection = open_readonly(database)
        if other.exists():
            other.replace(path)
        return connection

    monkeypatch.setattr(current_module, "open_readonly", open_late)
    current = Current(path, Count)
    assert current.get().photos > 0
    assert current.get().photos == 0
