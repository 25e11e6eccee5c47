"""docs/database.md describes the schema that there is, and its examples work."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from contrib import reference_database
from photoramd.database.connection import Database
from photoramd.database.description import ALL, INTERNAL_TABLES, STABLE_TABLES, VIEWS
from tests.support.documents import ROOT, blocks
from tests.support.known_photos import fill

STABLE = ROOT / "tests" / "support" / "data" / "stable_columns.txt"
DOCUMENT = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
EXAMPLES = [block for language, block in blocks(DOCUMENT) if language == "sql"]


@pytest.fixture
def connection(database: Database) -> Iterator[sqlite3.Connection]:
    fill(database)
    with closing(sqlite3.connect(database.path)) as opened:
        yield opened


def schema(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of all tables and views, but for SQLite's own and what is behind an index."""
    names = [
        name
        for (name,) in connection.execute(
            """SELECT name FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow'
               AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"""
        )
    ]
    sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return {name: [column for (column,) in connection.execute(sql, (name,))] for name in names}


def described() -> dict[str, list[str]]:
    return {name: list(each.columns) for name, each in ALL.items()}


def test_every_table_view_and_column_is_described_in_its_order(
    connection: sqlite3.Connection,
) -> None:
    assert schema(connection) == described(), "photoramd/database/description.py, then make docs"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE photos ADD COLUMN colour TEXT",
        "ALTER TABLE photos RENAME COLUMN reason TO cause",
        "CREATE TABLE albums (id INTEGER PRIMARY KEY)",
        "CREATE VIEW dogs AS SELECT photo FROM tags",
        "DROP TABLE modes",
    ],
)
def test_a_changed_schema_is_noticed(connection: sqlite3.Connection, change: str) -> None:
    connection.execute(change)
    assert schema(connection) != described()


def test_every_description_says_something() -> None:
    for name, each in ALL.items():
        assert each.purpose.endswith("."), name
        for column, meaning in each.columns.items():
            assert len(meaning) > 3, f"{name}.{column}"
        assert each.internal <= each.columns.keys(), name
        assert each.is_stable == (name in VIEWS or name in STABLE_TABLES), name
    assert len(ALL) == len(VIEWS) + len(STABLE_TABLES) + len(INTERNAL_TABLES)


def test_what_is_stable_stays() -> None:
    """The file says what was promised: names may be added to it, none taken away."""
    for line in STABLE.read_text(encoding="utf-8").splitlines():
        name, *promised = line.split()
        assert ALL[name].is_stable, name
        still = [each for each in ALL[name].columns if each not in ALL[name].internal]
        assert still[: len(promised)] == promised, name


def test_columns_of_bytes_are_said_to_be_bytes(connection: sqlite3.Connection) -> None:
    """A program that reads them as text fails at a name that is not UTF-8."""
    for name in ALL:
        for _, column, type_, *_ in connection.execute(f"PRAGMA table_info({name})"):
            if type_ == "BLOB":
                assert "bytes" in ALL[name].columns[column] or "bitmap" in ALL[name].columns[column]


def test_the_document_is_made_from_the_descriptions() -> None:
    assert reference_database.document(DOCUMENT) == DOCUMENT, "make docs"


def test_there_are_five_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("sql", EXAMPLES)
def test_an_example_finds_something(connection: sqlite3.Connection, sql: str) -> None:
    rows = connection.execute(sql).fetchall()
    assert rows
    assert not any(isinstance(value, bytes) for row in rows for value in row)


def test_the_database_opens_read_only_as_described_while_it_is_written(
    database: Database, connection: sqlite3.Connection
) -> None:
    (address,) = [word for word in DOCUMENT.split('"') if word.startswith("file:")]
    path = Path("/var/lib/photoramd/photoramd.db")
    address = address.replace(str(path), str(database.path))
    with closing(sqlite3.connect(address, uri=True)) as reader, database.transaction() as db:
        before = reader.execute("SELECT count(*) FROM tags").fetchone()
        db.execute("DELETE FROM keywords")
        assert reader.execute("SELECT count(*) FROM tags").fetchone() == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM photos")
