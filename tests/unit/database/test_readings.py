"""What was read of photos is stored: looks, the user's keywords, the sidecar."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from photoramd.database import derived
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.queue import Queue
from photoramd.database.readings import Readings
from photoramd.database.results import Results, Tagged
from photoramd.metadata.changes import Place
from photoramd.metadata.fields import HIERARCHICAL, SUBJECT
from photoramd.metadata.own_keywords import FileKeywords
from photoramd.metadata.reading import Reading
from photoramd.photo import Fingerprint, Look, Photo, Tag
from photoramd.search import queries

LOOK = Look(400, 300, "JPEG", 0.5, 60, "Canon EOS R6", None, 100, 2.8, 0.004, 50.0, 48.85, 2.35)
LIGHTROOM = HIERARCHICAL[0]


@pytest.fixture
def readings(database: Database) -> Readings:
    return Readings(database)


@pytest.fixture
def photo(database: Database) -> int:
    return tagged(database, "a.jpg")


def tagged(database: Database, name: str) -> int:
    """A photo that the model has called a cat."""
    path = Path("/album") / name
    queue = Queue(database)
    queue.enqueue([Photo(path, Fingerprint(1, 1, 1, len(name)))], 1.0)
    job = next(job for job in queue.due(1.0, 9) if job.photo.path == path)
    outcome = Tagged(job, name.encode(), {"cat": 0.9}, [Tag("cat", 0.9)])
    Results(database).save([outcome], "m", "1", 1.0)
    return job.id


def keywords(*subjects: str, paths: tuple[str, ...] = ()) -> FileKeywords:
    return FileKeywords({SUBJECT.name: subjects, LIGHTROOM.name: paths})


def stored(database: Database, photo: int) -> dict[str, int]:
    return dict(
        database.rows(
            """SELECT l.name, k.is_above FROM user_keywords k JOIN labels l ON l.id = k.label_id
               WHERE k.photo_id = ?""",
            (photo,),
        )
    )


def changes(database: Database) -> int:
    return int(database.rows("SELECT seq FROM sqlite_sequence WHERE name = 'set_changes'")[0][0])


def found(database: Database, query: str) -> list[str]:
    with closing(queries.open_readonly(database.path)) as connection:
        return [each.path.name for each in queries.find(connection, queries.parse(query))]


def test_what_was_read_can_be_asked_for(database: Database, readings: Readings, photo: int) -> None:
    reading = Reading(LOOK, keywords("Rex"), keywords("dog", paths=("Places|Rome",)))
    readings.save(photo, reading)
    assert stored(database, photo) == {"Rex": 0, "dog": 0, "Places": 1, "Rome": 0}
    for query in ("user:rex", "Rome", "Places", "camera:canon", "taken:1970", "near:48.85,2.35"):
        assert found(database, query) == ["a.jpg"], query
    assert found(database, "tag:=Places") == []
    with closing(queries.open_readonly(database.path)) as connection:
        details = queries.photo(connection, Path("/album/a.jpg"))
    assert details is not None
    assert details.look == LOOK
    assert details.user_tags == ("Rex", "Rome", "dog")


def test_ours_are_not_the_users_in_the_place_where_we_put_them(
    database: Database, readings: Readings, photo: int
) -> None:
    with database.transaction() as db:
        db.execute("INSERT INTO ledger (photo_id, field, value, added_at) VALUES (?, ?, 'cat', 1)",
                   (photo, SUBJECT.name))  # fmt: skip
    readings.save(photo, Reading(beside=keywords("cat", "Rex")))
    assert stored(database, photo) == {"Rex": 0}
    # The ledger knows of the sidecar; the user put it into the photo.
    readings.save(photo, Reading(inside=keywords("cat")))
    assert stored(database, photo) == {"cat": 0}


def test_a_rejected_keyword_that_is_there_again_is_the_users(
    database: Database, readings: Readings, photo: int
) -> None:
    Ledger(database).reject(photo, Place.SIDECAR, {SUBJECT.name: ("cat",)}, 2.0)
    assert found(database, "cat") == []
    assert found(database, "rejected:CAT") == ["a.jpg"]
    readings.save(photo, Reading(beside=keywords("cat")))
    assert found(database, "user:cat") == ["a.jpg"]


def test_what_is_gone_from_the_files_is_gone(
    database: Database, readings: Readings, photo: int
) -> None:
    readings.save(photo, Reading(LOOK, keywords("Rex"), sidecar=(Path("/album/a.jpg.xmp"), 7)))
    readings.save(photo, Reading(replace(LOOK, camera=None, lat=None, lon=None), keywords("Max")))
    assert stored(database, photo) == {"Max": 0}
    assert database.rows("SELECT * FROM read_sidecars") == []
    assert found(database, "has:gps OR has:camera OR rex") == []
    with database.transaction() as db:
        assert derived.differences(db) == 0
        derived.fold(db, above=0)
        assert derived.differences(db) == 0
    assert found(database, "has:gps OR has:camera OR rex") == []


def test_a_look_that_cannot_be_told_leaves_the_one_that_is_known(
    database: Database, readings: Readings, photo: int
) -> None:
    readings.save(photo, Reading(LOOK))
    readings.save(photo, Reading(None, keywords("Rex")))
    assert found(database, "camera:canon rex") == ["a.jpg"]


def test_reading_the_same_again_changes_no_set(
    database: Database, readings: Readings, photo: int
) -> None:
    reading = Reading(LOOK, keywords("Rex", paths=("Places|Rome",)))
    readings.save(photo, reading)
    before = changes(database)
    readings.save(photo, reading)
    assert changes(database) == before
    readings.save(photo, replace(reading, inside=keywords("Rex", paths=("Places|Siena",))))
    assert changes(database) > before


def test_photos_are_read_once_until_they_change(
    database: Database, readings: Readings, photo: int
) -> None:
    Queue(database).leave_out(lambda _: True)
    others = [tagged(database, f"{'b' * number}.jpg") for number in range(1, 4)]
    assert [job.id for job in readings.unread(0, 10)] == [photo, *others]
    assert [job.id for job in readings.unread(photo, 2)] == others[:2]
    readings.save(photo, Reading())
    readings.give_up(others[0])
    assert [job.id for job in readings.unread(0, 10)] == others[1:]
    with database.transaction() as db:
        db.execute("UPDATE photos SET is_read = 0, state = 'missing' WHERE id = ?", (others[0],))
    assert [job.id for job in readings.unread(0, 10)] == others[1:]


def test_what_fails_half_way_leaves_nothing(
    database: Database, readings: Readings, photo: int
) -> None:
    readings.save(photo, Reading(LOOK, keywords("Rex")))
    before = changes(database)

    def fail(db: sqlite3.Connection) -> None:
        readings.store(db, photo, Reading(replace(LOOK, camera="X"), keywords("Max")))
        raise KeyError

    with pytest.raises(KeyError), database.transaction() as db:
        fail(db)
    assert stored(database, photo) == {"Rex": 0}
    assert changes(database) == before
    readings.save(photo, Reading(replace(LOOK, camera="X"), keywords("Max")))
    assert found(database, "camera:x max") == ["a.jpg"]


def test_hostile_keywords_cost_only_themselves(
    database: Database, readings: Readings, photo: int
) -> None:
    hostile = ["x" * (1 << 20), "a\0b", "\ud800", *(f"k{number}" for number in range(1_001))]
    readings.save(photo, Reading(LOOK, keywords(*hostile)))
    assert len(stored(database, photo)) == 1_000
    assert found(database, "k7 camera:canon") == ["a.jpg"]
    assert database.rows("SELECT max(length(name)) FROM labels")[0][0] < 300
