"""What single fields find, where it is easily mistaken."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.database.connection import connect
from photoramd.errors import UsageError
from photoramd.keywords import comparison_key
from photoramd.search import queries
from photoramd.search.expression import Field, Range
from photoramd.search.parser import parse
from tests.support.clock import bound

PATHS = (
    "/photos/2024/Italy/IMG_1.jpg", "/photos/2024/Italy-North/IMG_2.png", "/photos/2024/a.jpg",
    "/photos/2023/italy.jpg", "/other/2024/IMG_1.jpg", "/photos/20241/b.jpg",
)  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "photoramd.db")) as connection:
        yield connection


def add(db: sqlite3.Connection, path: str, state: str = "written", found_at: float = 1.0) -> int:
    directory, name = path.rpartition("/")[::2]
    db.execute("INSERT OR IGNORE INTO directories (path) VALUES (?)", (directory.encode(),))
    return int(
        db.execute(
            """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode, state,
                                   found_at)
               SELECT id, ?, 1, 1, 1, 1, ?, ? FROM directories WHERE path = ? RETURNING id""",
            (name.encode(), state, found_at, directory.encode()),
        ).fetchone()[0]
    )


def found(db: sqlite3.Connection, query: str, *, missing: bool = False) -> set[str]:
    return {str(each.path) for each in queries.find(db, parse(query), missing=missing)}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("path:2024", {0, 1, 2, 4, 5}),
        ("path:2024/", {0, 1, 2, 4}),
        ("path:/photos/2024/", {0, 1, 2}),
        ("path:/2024", set()),
        ("path:024", set()),
        ("path:2024/italy", {0, 1}),
        ("path:2024/italy/", {0}),
        ("path:italy/img_1", {0}),
        ("path:2024/img", {4}),
        ("path:img", set()),
        ("path:photos/2024/a.jpg", {2}),
        # Patterns go on in the names of files.
        ("path:2024/*.jpg", {0, 2, 4}),
        ("path:2024/*/img", {0, 1}),
        ("path:/photos/*/italy", {0, 1, 3}),
        ("path:/photos/*.png", {1}),
        ("path:20*/*_1", {0, 4}),
        ("path:2024/a*g", {2}),
        ("path:*a.jpg", {2}),
        ("path:*", {0, 1, 2, 3, 4, 5}),
        # Exactly: to the end.
        ("path:=/photos/2024/a.jpg", {2}),
        ("path:=2024/A.JPG", {2}),
        ("path:=2024/IMG_1.jpg", {4}),
        ("path:=IMG_1.jpg", {0, 4}),
        ("path:=2024", set()),
        ("path:=photos/*.jpg", {0, 2, 3, 5}),
        ("path:=2024/*_1", set()),
        ("folder:italy", {0, 1}),
        ("folder:=italy", {0}),
        ("folder:2024", {0, 1, 2, 4, 5}),
        ("folder:=2024", {0, 1, 2, 4}),
        ("name:italy", {3}),
    ],
)
def test_paths_are_compared_from_a_folders_name_on(
    db: sqlite3.Connection, query: str, numbers: set[int]
) -> None:
    for path in PATHS:
        add(db, path)
    assert found(db, query) == {PATHS[number] for number in numbers}
    assert found(db, f"name:. {query}") == {PATHS[number] for number in numbers}


def test_many_stars_take_no_longer(db: sqlite3.Connection) -> None:
    add(db, "/photos/" + "a" * 200 + "/" + "a" * 200)
    began = time.process_time()
    assert found(db, "path:" + "*a" * 60 + "*b") == set()
    assert found(db, "name:" + "*a" * 60 + "*b") == set()
    assert time.process_time() - began < bound(1)


def test_missing_photos_lack_things_like_others(db: sqlite3.Connection) -> None:
    add(db, "/a/gone.jpg", "missing")
    add(db, "/a/here.jpg")
    for query in ("no:tag", "no:gps", "no:taken", "no:camera", "no:sidecar", "is:untagged"):
        assert found(db, query) == {"/a/here.jpg"}
        assert found(db, query, missing=True) == {"/a/gone.jpg", "/a/here.jpg"}
        assert found(db, f"name:jpg {query}", missing=True) == {"/a/gone.jpg", "/a/here.jpg"}
        assert found(db, f"is:missing {query}") == {"/a/gone.jpg"}


def test_below_a_label_are_those_below_its_other_spellings(db: sqlite3.Connection) -> None:
    photo = add(db, "/a/1.jpg")
    numbers = {}
    for name in ("animal", "Dog", "dog", "puppy"):
        sql = "INSERT INTO labels (name, folded) VALUES (?, ?) RETURNING id"
        numbers[name] = db.execute(sql, (name, comparison_key(name))).fetchone()[0]
    for child, parent in (("Dog", "animal"), ("puppy", "dog")):  # of two models
        db.execute("INSERT INTO label_parents VALUES (?, ?)", (numbers[child], numbers[parent]))
    sql = "INSERT INTO keywords (photo_id, label_id, confidence) VALUES (?, ?, 0.9)"
    db.execute(sql, (photo, numbers["puppy"]))
    for query in ("animal", "DOG", "auto:animal", "animal@0.5", "tag:anim*"):
        assert found(db, query) == {"/a/1.jpg"}, query
    assert found(db, "tag:=animal") == set()


def test_ends_belong_to_spans_or_not(db: sqlite3.Connection) -> None:
    photo = add(db, "/a/1.jpg")
    db.execute("INSERT INTO formats VALUES (1, 'JPEG')")
    sql = "INSERT INTO looks (photo_id, width, height, format_id, taken) VALUES (?, 1, 1, 1, 0)"
    db.execute(sql, (photo,))
    for low, high, has_low, has_high in (
        (0.0, None, True, True), (0.0, None, False, True), (None, 0.0, True, True),
        (None, 0.0, True, False), (0.0, 0.0, True, True), (-1.0, 0.0, False, False),
        (-1.0, 1.0, False, False),
    ):  # fmt: skip
        span = Range(low, high, has_low, has_high)
        assert bool(queries.find(db, Field("taken", (span,)))) == (0.0 in span), span


@pytest.mark.parametrize("zone", ["UTC", "Australia/Sydney", "America/New_York", "Asia/Kolkata"])
def test_days_are_those_of_the_clock_on_the_wall(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Days on which summer begins or ends have 23 or 25 hours."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        for day in ("2024-03-10", "2024-04-07", "2024-07-01", "2024-10-06", "2024-11-03"):
            begin = time.mktime(time.strptime(day, "%Y-%m-%d"))
            date = time.localtime(begin)
            end = time.mktime((*date[:2], date[2] + 1, 0, 0, 0, 0, 0, -1))
            for moment in (begin - 1, begin, begin + 3600, begin + 22 * 3600, end):
                add(db, f"/a/{moment}.jpg", found_at=moment)
            expected = {f"/a/{moment}.jpg" for moment in (begin, begin + 3600, begin + 22 * 3600)}
            assert found(db, f"added:{day}") == expected, day
            assert found(db, f"added:*-{day[5:]}") == expected, day
            assert found(db, f"added:<{day}") == {f"/a/{begin - 1}.jpg"}, day
            assert found(db, f"added:>{day}") == {f"/a/{end}.jpg"}, day
            db.execute("DELETE FROM photos")
    time.tzset()


@pytest.mark.parametrize(
    "path", ["/nowhere/a.jpg", "a\0b", "/a\0/b.jpg", "\ud800", "\udce9.jpg", "~x/a"]
)
def test_photos_that_are_not_known_cannot_be_compared_with(
    db: sqlite3.Connection, path: str
) -> None:
    for query in (f'same:"{path}"', f'near:"{path}~5km"'):
        with pytest.raises(UsageError, match="at position 5: photoramd does not know") as caught:
            found(db, f"x | {query}")
        assert caught.value.remedy
    photo = add(db, "/a/1.jpg")
    with pytest.raises(UsageError, match="it is not known where /a/1\\.jpg was taken"):
        found(db, "near:/a/1.jpg")
    assert photo
