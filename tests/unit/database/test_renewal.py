"""Photos that an earlier revision of the model tagged, and their turn to be tagged again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from photoramd.database import results as module
from photoramd.database.connection import Database
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.photo import Fingerprint, Photo, Tag
from photoramd.search.queries import open_readonly, to_renew

KEYWORDS = [Tag("cat", 0.9)]


@pytest.fixture
def queue(database: Database) -> Queue:
    queue = Queue(database)
    queue.leave_out(lambda directory: directory.startswith("/album"))
    return queue


@pytest.fixture
def results(database: Database) -> Results:
    return Results(database, "settings")


def add(queue: Queue, database: Database, *names: str, revision: str = "old") -> None:
    """Photos that a revision of the model has tagged, and that were written."""
    for name in names:
        inode = len(database.rows("SELECT id FROM photos")) + 1
        photo = Photo(Path("/album") / name, Fingerprint(100, 1, 7, inode))
        queue.enqueue([photo], 10)
        (job,) = [job for job in queue.due(10, 100) if job.photo.path.name == name]
        outcome = Tagged(job, name.encode(), {"cat": 0.9}, KEYWORDS)
        Results(database, "settings").save([outcome], "m", revision, 10)
        with database.transaction() as db:
            db.execute("UPDATE photos SET state = 'written' WHERE id = ?", (job.id,))


def pending(queue: Queue) -> list[str]:
    return [job.photo.path.name for job in queue.due(99, 100)]


def test_the_last_found_come_first_and_a_few_at_a_time(
    queue: Queue, results: Results, database: Database
) -> None:
    add(queue, database, "a", "b", "c", "d", "e")
    below, seen = None, []
    for _ in range(3):
        count, below = results.renew("m", "new", below, 2)
        seen.append((count, sorted(pending(queue))))
    assert seen == [(2, ["d", "e"]), (2, ["b", "c", "d", "e"]), (1, ["a", "b", "c", "d", "e"])]
    assert below is None


def test_only_a_part_of_a_large_database_is_looked_at_in_one_call(
    queue: Queue, results: Results, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEWED_SPAN", 2)
    add(queue, database, "a")
    add(queue, database, "b", "c", "d", "e", revision="new")
    below, counts = None, []
    while not counts or below is not None:
        count, below = results.renew("m", "new", below, 10)
        counts.append(count)
    assert counts == [0, 0, 1]


def test_what_they_have_stays_until_they_are_tagged(
    queue: Queue, results: Results, database: Database
) -> None:
    add(queue, database, "a")
    results.renew("m", "new", None, 10)
    (job,) = queue.due(99, 10)
    assert results.tags(job.id) == KEYWORDS
    assert results.recall(b"a", "m", "old") == {"cat": 0.9}
    results.save([Tagged(job, b"a", {"dog": 0.8}, [Tag("dog", 0.8)])], "m", "new", 20)
    assert results.tags(job.id) == [Tag("dog", 0.8)]
    assert results.recall(b"a", "m", "old") is None
    assert results.recall(b"a", "m", "new") == {"dog": 0.8}


def test_scores_that_a_copy_still_needs_stay(
    queue: Queue, results: Results, database: Database
) -> None:
    add(queue, database, "a", "b")
    with database.transaction() as db:
        db.execute("UPDATE photos SET result_id = (SELECT min(id) FROM results)")
    results.renew("m", "new", None, 1)
    (job,) = queue.due(99, 10)
    results.save([Tagged(job, b"a", {"dog": 0.8}, [])], "m", "new", 20)
    assert results.recall(b"a", "m", "old") == {"cat": 0.9}


def test_another_models_photos_undone_ones_and_those_not_watched_are_left_alone(
    queue: Queue, results: Results, database: Database
) -> None:
    add(queue, database, "undone", "missing", "unwatched", "present")
    with database.transaction() as db:
        db.execute("UPDATE photos SET undone_at = 1 WHERE name = CAST('undone' AS BLOB)")
        db.execute("UPDATE photos SET state = 'missing' WHERE name = CAST('missing' AS BLOB)")
    queue.enqueue([Photo(Path("/other/x"), Fingerprint(1, 1, 7, 99))], 10)
    with database.transaction() as db:
        db.execute(
            """UPDATE photos SET directory_id = (SELECT id FROM directories
               WHERE path = CAST('/other' AS BLOB)) WHERE name = CAST('unwatched' AS BLOB)"""
        )
        db.execute("DELETE FROM photos WHERE name = CAST('x' AS BLOB)")
    queue.leave_out(lambda directory: directory.startswith("/album"))
    assert results.renew("other", "new", None, 10)[0] == 0
    assert results.renew("m", "new", None, 10)[0] == 1
    assert pending(queue) == ["present"]


def test_an_empty_database_has_none(queue: Queue, results: Results) -> None:
    assert results.renew("m", "new", None, 10) == (0, None)


def test_status_counts_them(queue: Queue, results: Results, database: Database) -> None:
    add(queue, database, "a", "b")
    add(queue, database, "c", revision="new")
    with closing(open_readonly(database.path)) as reader:
        assert to_renew(reader) == 0  # not known yet
        results.note_model("m", "new")
        assert to_renew(reader) == 2
        results.renew("m", "new", None, 1)
        assert to_renew(reader) == 2  # not tagged yet
        results.note_model("m", "")
        assert to_renew(reader) == 0
