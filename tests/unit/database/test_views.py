"""The views: what people and other programs see of the database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from photoramd.clock import UnixTime, wall_time
from photoramd.database.connection import APPLICATION_ID, Database, connect
from photoramd.database.migrations import schema
from photoramd.database.photos import Photos
from tests.support.known_photos import BAD, CAFE, DOG, FULL, GONE, NEW, ROOT, TAKEN, fill

PRINTED_CAFE = "/photos/2024/caf\\xe9.jpg"
PRINTED_CAT = "/photos/f\\xfcr/cat.png"


@pytest.fixture
def plain(database: Database) -> Iterator[sqlite3.Connection]:
    """The connection of another program: no functions, and text is UTF-8 or an error."""
    fill(database)
    with closing(sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def rows(plain: sqlite3.Connection, sql: str, *values: object) -> list[dict[str, object]]:
    return [dict(row) for row in plain.execute(sql, values)]


def test_tags_begin_with_the_columns_that_they_always_had(plain: sqlite3.Connection) -> None:
    names = [column[0] for column in plain.execute("SELECT * FROM tags").description]
    assert names == ["photo", "tag", "confidence", "state", "given_by", "photo_id"]


def test_tags_tell_who_gave_them(plain: sqlite3.Connection) -> None:
    found = rows(plain, "SELECT * FROM tags WHERE photo = ? ORDER BY given_by, tag", str(DOG))
    told = [(row["tag"], row["confidence"], row["given_by"], row["state"]) for row in found]
    assert told == [
        ("beach", 0.8, "machine", "written"),
        ("dog", 0.9, "machine", "written"),
        ("Aunt Mary", None, "user", "written"),
        # Not Places, under which Italy is filed.
        ("Italy", None, "user", "written"),
    ]


def test_a_tag_of_both_has_two_rows(plain: sqlite3.Connection) -> None:
    found = rows(plain, "SELECT * FROM tags WHERE tag = 'dog' AND photo = ?", PRINTED_CAFE)
    assert {row["given_by"]: row["confidence"] for row in found} == {"machine": 0.4, "user": None}


def test_every_text_of_the_views_is_utf8(plain: sqlite3.Connection) -> None:
    """Python's sqlite3 raises an error for one that is not."""
    shown = [row["path"] for row in rows(plain, "SELECT * FROM photo_list ORDER BY path")]
    assert shown == sorted(
        [PRINTED_CAFE, PRINTED_CAT, *(str(path) for path in (DOG, BAD, NEW, GONE))]
    )
    for view in ("tags", "photo_list"):
        for row in rows(plain, f"SELECT * FROM {view}"):  # noqa: S608
            assert not any(isinstance(value, bytes) for value in row.values())


def test_the_list_has_everything_that_is_known_of_a_photo(plain: sqlite3.Connection) -> None:
    (row,) = rows(plain, "SELECT * FROM photo_list WHERE name = 'dog.jpg'")
    assert row.pop("photo_id")
    assert row == {
        "path": "/photos/2024/dog.jpg", "folder": "/photos/2024", "name": "dog.jpg",
        "state": "written", "reason": None, "taken": "2024-07-31T18:30:00", "tz": 120,
        "camera": FULL.camera, "lens": FULL.lens, "format": "JPEG", "iso": 200, "f": 2.8,
        "exposure": 0.004, "mm": 50.0, "width": 6000, "height": 4000, "lat": 48.85, "lon": 2.35,
        "size": 1000, "added": "2024-08-02T07:15:30Z", "sidecar": "/photos/2024/dog.jpg.xmp",
    }  # fmt: skip


def test_what_is_not_known_is_null(plain: sqlite3.Connection) -> None:
    (row,) = rows(plain, "SELECT * FROM photo_list WHERE name = 'bad.jpg'")
    known = {name for name, value in row.items() if value is not None}
    assert known == {"path", "folder", "name", "state", "reason", "size", "added", "photo_id"}
    (odd,) = rows(plain, "SELECT * FROM photo_list WHERE path = ?", PRINTED_CAT)
    assert (odd["folder"], odd["taken"], odd["sidecar"]) == ("/photos/f\\xfcr", None, None)


def test_the_path_of_a_sidecar_is_text_too(plain: sqlite3.Connection) -> None:
    (row,) = rows(plain, "SELECT sidecar FROM photo_list WHERE path = ?", PRINTED_CAFE)
    assert row["sidecar"] == f"{PRINTED_CAFE}.xmp"


def test_a_photo_at_the_root_has_one_slash(database: Database, plain: sqlite3.Connection) -> None:
    with database.transaction() as db:
        db.execute("UPDATE directories SET path = '/' WHERE path = ?", (bytes(ROOT / "2024"),))
    assert rows(plain, "SELECT path FROM photo_list WHERE name = 'dog.jpg'") == [
        {"path": "/dog.jpg"}
    ]


def test_a_photo_that_gets_an_odd_name_is_shown_with_it(
    database: Database, plain: sqlite3.Connection
) -> None:
    photos = Photos(database)
    known = photos.find(os.fspath(DOG))
    assert known is not None
    photos.relocate(known.id, CAFE.with_name("na\udcefve.jpg"), UnixTime(5))
    sql = "SELECT path, sidecar FROM photo_list WHERE photo_id = ?"
    assert rows(plain, sql, known.id) == [
        {"path": "/photos/2024/na\\xefve.jpg", "sidecar": "/photos/2024/dog.jpg.xmp"}
    ]


@pytest.mark.parametrize("taken", [TAKEN, 0.0, -0.5, -86_400.25, 4e9])
def test_times_are_those_that_the_commands_print(
    database: Database, plain: sqlite3.Connection, taken: float
) -> None:
    with database.transaction() as db:
        db.execute("UPDATE looks SET taken = ? WHERE taken IS NOT NULL", (taken,))
    (row,) = rows(plain, "SELECT taken FROM photo_list WHERE name = 'dog.jpg'")
    assert row["taken"] == wall_time(taken)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT photo FROM tags WHERE tag = 'dog'",
        "SELECT tag FROM tags WHERE photo_id = 3",
        "SELECT path FROM photo_list WHERE photo_id = 3",
    ],
)
def test_tags_and_photos_are_found_by_an_index(plain: sqlite3.Connection, sql: str) -> None:
    plan = [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert [step for step in plan if step.startswith("SCAN") and step != "SCAN tags"] == []


def test_the_paths_of_an_earlier_versions_database_become_text(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        schema.apply(sqlite_utils.Database(old), stop_before="m060_asking")
        old.execute("INSERT INTO directories (id, path) VALUES (1, ?)", (b"/f\xfcr",))
        old.execute(
            """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode, state,
                                   found_at, sidecar)
               VALUES (1, ?, 1, 1, 1, 1, 'written', 0, ?)""",
            (b"caf\xe9.jpg", b"/f\xfcr/caf\xe9.xmp"),
        )
        with pytest.raises(sqlite3.OperationalError):
            old.execute("SELECT CAST(name AS TEXT) FROM photos").fetchall()
    with closing(connect(path)) as new:
        assert new.execute("SELECT path, sidecar FROM photo_list").fetchall() == [
            ("/f\\xfcr/caf\\xe9.jpg", "/f\\xfcr/caf\\xe9.xmp")
        ]
