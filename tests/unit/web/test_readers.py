"""Readers that stay open see what is written, whoever writes it and wherever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photoramd.database import readonly
from photoramd.database.connection import Database
from photoramd.search import queries
from photoramd.web import readers
from photoramd.web.readers import Reader, Readers
from tests.support.files import put_in_place
from tests.support.known_photos import fill


def total(reader: Reader) -> int:
    return sum(queries.counts(reader.connection).values())


def test_a_database_that_is_replaced_is_opened_anew(database: Database, tmp_path: Path) -> None:
    fill(database)
    path = database.path
    asked = Readers(path)
    assert asked.ask_here(total) > 0
    database.close()
    with Database(tmp_path / "other.db"):
        pass
    put_in_place(tmp_path / "other.db", path)
    assert asked.ask_here(total) == 0
    asked.close()


def test_another_user_sees_what_is_written_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It may not create SQLite's files, so it opens what is there: `readonly.uri_options`.
    path = database.path
    database.close()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not list(path.parent.glob("*-wal"))
    asked = Readers(path)
    assert asked.ask_here(total) == 0
    with Database(path) as opened:
        fill(opened)
        assert asked.ask_here(total) == 6  # in the write-ahead log
    assert asked.ask_here(total) == 6  # in the file itself
    asked.close()


def test_the_same_file_is_not_opened_again(database: Database) -> None:
    asked = Readers(database.path)
    seen = {id(asked.ask_here(lambda reader: reader)) for _ in range(3)}
    assert len(seen) == 1
    assert readers.identity(database.path) == readers.identity(database.path)
    assert readers.identity(database.path.with_name("none")) is None
    assert readonly.uri_options(database.path, is_own=True) == "mode=ro"
    asked.close()
