from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.database import backups, migrations, versions
from photoramd.database.connection import Database, connect_beside_owner
from photoramd.database.lock import holder
from photoramd.doctor.finding import Grade
from photoramd.doctor.state import examine_database
from photoramd.errors import LockedError, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "photoramd.db"


def test_writes_are_durable_and_readers_do_not_wait(path: Path) -> None:
    with Database(path) as database:
        assert database.rows("PRAGMA journal_mode") == [("wal",)]
        assert database.rows("PRAGMA synchronous") == [(2,)]


def test_a_second_instance_is_refused_with_the_first_ones_process_id(path: Path) -> None:
    with Database(path):
        assert holder(path) == os.getpid()
        with pytest.raises(LockedError, match=str(os.getpid())) as caught:
            Database(path)
        assert caught.value.remedy
    assert holder(path) is None
    with Database(path):
        pass


def test_the_lock_ends_with_a_killed_process(path: Path) -> None:
    code = (
        "import sys, pathlib, time; from photoramd.database.connection import Database;"
        "d = Database(pathlib.Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert holder(path) == process.pid
        process.kill()
    assert holder(path) is None
    with Database(path):
        pass


def test_a_rolled_back_transaction_leaves_nothing_behind_even_in_caches(path: Path) -> None:
    def fail_in_transaction() -> None:
        with database.transaction():
            database.file_key(Path("/a/x.jpg"))
            raise KeyError("boom")

    with Database(path) as database:
        with pytest.raises(KeyError):
            fail_in_transaction()
        with database.transaction():
            number, _ = database.file_key(Path("/a/x.jpg"))
        assert database.rows("SELECT id FROM directories") == [(number,)]


def test_a_database_that_another_program_writes_to_is_an_error_that_says_so(path: Path) -> None:
    with Database(path, busy_seconds=0.05) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught, database.transaction():
            pass
        other.close()
        assert caught.value.remedy
        with database.transaction():
            pass


@pytest.mark.parametrize(
    "content", [b"no database at all, but a text", b"\0" * 5000, os.urandom(9000)]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError):
        Database(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (id INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a photoramd database"):
        Database(path)
    assert path.read_bytes() == before


def test_a_damaged_page_is_noticed_at_the_start(path: Path) -> None:
    with Database(path) as database, database.transaction():
        for number in range(2000):
            database.file_key(Path(f"/some/directory/{number}/x.jpg"))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 8192)
    with pytest.raises(StoreError, match=r"damaged|malformed") as caught:
        Database(path)
    assert "aside" in (caught.value.remedy or "")


def test_the_names_of_the_migrations_are_those_of_the_migrations() -> None:
    assert tuple(step.__name__ for step in migrations.STEPS) == versions.NAMES


def test_a_database_that_is_up_to_date_is_opened_without_sqlite_utils(path: Path) -> None:
    code = (
        "import sys, pathlib; from photoramd.database.connection import Database;"
        "Database(pathlib.Path(sys.argv[1])).close(); print('sqlite_utils' in sys.modules)"
    )
    command = [sys.executable, "-c", code, path]
    said = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)]
    assert said == [b"True\n", b"False\n"]


def test_the_connection_that_migrated_is_like_those_after_it(path: Path) -> None:
    pragmas = ("recursive_triggers", "foreign_keys", "synchronous", "journal_mode")
    found = []
    for _ in range(2):
        with Database(path) as database:
            found.append([database.rows(f"PRAGMA {each}") for each in pragmas])
    assert found[0] == found[1]


@pytest.mark.parametrize("missing", [versions.NAMES[-1], versions.NAMES[-2]])
def test_a_migration_that_is_missing_is_made_up_for(path: Path, missing: str) -> None:
    table = {"m080_workers": "workers", "m071_figures": "figures"}[missing]
    Database(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (missing,))
    with Database(path) as database:
        made = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        assert database.rows(made, (table,)) == [(1,)]


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    with Database(path) as database, database.transaction() as db:
        db.execute(
            """INSERT INTO _sqlite_migrations (migration_set, name, applied_at)
               VALUES ('photoramd', 'm999_future', 'later')"""
        )
    with pytest.raises(StoreError, match="newer"):
        Database(path)
    with pytest.raises(StoreError, match="newer"), connect_beside_owner(path):
        pass
    with pytest.raises(StoreError, match="newer"):
        backups.restore(path, path.with_name("present.db"))
    with closing(sqlite3.connect(path)) as db, pytest.raises(StoreError, match="newer"):
        versions.require_known(db, path)
    assert [found.grade for found in examine_database(path, None)] == [Grade.ERROR]


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        Database(tmp_path / "file" / "photoramd.db")
    assert caught.value.remedy


def test_somebody_who_asks_whether_it_runs_does_not_keep_it_from_starting(path: Path) -> None:
    with Database(path):
        pass
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            holder(path)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            Database(path).close()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_probe_finds_that_another_holds_the_right_to_write(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with Database(path, busy_seconds=0.05) as database:
        database.probe()
        before = path.with_name("photoramd.db-wal").stat()
        database.probe()
        assert path.with_name("photoramd.db-wal").stat() == before  # the disk may sleep
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                database.probe()
        database.probe()
