"""The workers in the database: as the daemon last met them, for other processes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import sqlite_utils

from photoramd.clock import UnixTime
from photoramd.config.schedule import ALWAYS
from photoramd.database.connection import Database
from photoramd.database.migrations import schema
from photoramd.database.readonly import open_readonly
from photoramd.database.workers import store_workers, stored_workers
from photoramd.models.remote.state import WorkerState
from photoramd.search.metrics import exposition
from photoramd.search.status import StatusSettings, read_status

WELL = WorkerState("https://b.lan:8443", True, "", "", UnixTime(1e9))
AWAY = WorkerState("https://a.lan:8443", False, "it cannot be reached", "start it", UnixTime(2e9))


def test_they_are_replaced_as_a_whole_and_keep_their_order(database: Database) -> None:
    with closing(open_readonly(database.path)) as connection:
        assert stored_workers(connection) == []
        store_workers(database, [WELL, AWAY])
        assert stored_workers(connection) == [WELL, AWAY]
        store_workers(database, [replace(AWAY, url=WELL.url)])
        assert stored_workers(connection) == [replace(AWAY, url=WELL.url)]
        store_workers(database, [])
        assert stored_workers(connection) == []


def test_status_and_metrics_tell_them(database: Database) -> None:
    store_workers(database, [WELL, AWAY])
    with closing(open_readonly(database.path)) as connection:
        settings = StatusSettings(ALWAYS, renews=False)
        found = read_status(connection, database.path, settings, UnixTime(3e9))["workers"]
        assert [each["available"] for each in found] == [True, False]
        assert found[0]["reason"] is None
        assert found[1]["remedy"] == "start it"
        text = exposition(connection).decode()
    assert f'photoramd_worker_up{{worker="{WELL.url}"}} 1.0' in text
    assert f'photoramd_worker_up{{worker="{AWAY.url}"}} 0.0' in text


def test_an_earlier_version_s_database_has_none(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        schema.apply(sqlite_utils.Database(old), stop_before="m080_workers")
        assert stored_workers(old) == []
