from __future__ import annotations

import os
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.queue import RETRY_SECONDS, Queue
from photoramd.database.results import Results, Tagged
from photoramd.photo import Fingerprint, Photo, Tag


def photo(name: str, inode: int = 1, mtime_ns: int = 1) -> Photo:
    return Photo(Path("/album") / name, Fingerprint(100, mtime_ns, 7, inode))


@pytest.fixture
def photos(database: Database) -> Photos:
    return Photos(database)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


def names(queue: Queue, now: float, limit: int = 100, skip: set[int] | None = None) -> list[str]:
    return [job.photo.path.name for job in queue.due(now, limit, skip=skip or set())]


def tag(database: Database, queue: Queue, name: str, now: float = 10) -> int:
    job = next(job for job in queue.due(now, 100) if job.photo.path.name == name)
    outcome = Tagged(job, name.encode(), {"cat": 0.9, "sofa": 0.1}, [Tag("cat", 0.9)])
    Results(database).save([outcome], "m", "1", now)
    return job.id


def test_a_new_photo_is_pending_and_due_at_once(queue: Queue) -> None:
    queue.enqueue([photo("a.jpg")], 10)
    assert names(queue, 10) == ["a.jpg"]
    assert queue.next_due() == 0
    assert queue.waiting() == 1


def test_the_newest_photo_is_the_first(queue: Queue) -> None:
    for moment in (1, 3, 2):
        queue.enqueue([photo(f"{moment}.jpg", inode=moment)], moment)
    assert names(queue, 10) == ["3.jpg", "2.jpg", "1.jpg"]


def test_photos_in_flight_are_passed_over(queue: Queue) -> None:
    queue.enqueue([photo(f"{n}.jpg", inode=n) for n in range(5)], 1)
    flying = {job.id for job in queue.due(1, 2)}
    assert len(names(queue, 1, 3, flying)) == 3
    assert len(names(queue, 1, 10, flying)) == 3


def test_a_photo_that_is_to_be_looked_at_later_is_not_due_before(queue: Queue) -> None:
    queue.enqueue([photo("a.jpg")], 10, not_before=15)
    assert names(queue, 14) == []
    assert queue.next_due() == 15
    assert names(queue, 15) == ["a.jpg"]


def test_names_may_be_any_bytes(photos: Photos, queue: Queue) -> None:
    odd = os.fsdecode(b"/alb\xff um/-a\n\xe9'.jpg")
    queue.enqueue([Photo(Path(odd), Fingerprint(1, 2, 3, 4))], 1)
    assert os.fspath(queue.due(1, 1)[0].photo.path) == odd
    found = photos.find(odd)
    assert found is not None
    assert list(photos.listing(os.path.dirname(odd))) == [os.path.basename(odd)]


def test_numbers_of_64_unsigned_bits_survive(queue: Queue) -> None:
    fingerprint = Fingerprint(2**40, -5, 2**64 - 1, 2**63)
    queue.enqueue([Photo(Path("/album/a.jpg"), fingerprint)], 1)
    assert queue.due(1, 1)[0].photo.fingerprint == fingerprint


def test_a_failure_backs_off_further_each_time_and_ends(queue: Queue) -> None:
    queue.enqueue([photo("a.jpg")], 0)
    now = 0.0
    for delay in RETRY_SECONDS:
        queue.fail(queue.due(now, 1)[0], "truncated", now)
        assert names(queue, now + delay - 1) == []
        now += delay
        assert names(queue, now) == ["a.jpg"]
    queue.fail(queue.due(now, 1)[0], "truncated", now)
    assert names(queue, now + 10**9) == []
    assert queue.next_due() is None


def test_a_failed_photo_that_changes_is_tried_at_once(queue: Queue) -> None:
    queue.enqueue([photo("a.jpg")], 0)
    queue.fail(queue.due(0, 1)[0], "truncated", 0)
    queue.enqueue([photo("a.jpg", mtime_ns=2)], 1)
    assert queue.due(1, 1)[0].attempts == 0


def test_retries_far_in_the_future_are_brought_back(queue: Queue) -> None:
    queue.enqueue([photo("a.jpg")], 0)
    year = 365 * 86_400.0
    queue.fail(queue.due(0, 1)[0], "truncated", year)
    queue.clamp_retries(100)
    assert queue.next_due() == 100 + RETRY_SECONDS[-1]
    queue.clamp_retries(100, back=1000)
    assert queue.next_due() == 100 + RETRY_SECONDS[-1] - 1000


def test_scores_are_found_again_by_digest_model_and_revision(
    database: Database, queue: Queue
) -> None:
    queue.enqueue([photo("a.jpg")], 1)
    tag(database, queue, "a.jpg")
    results = Results(database)
    assert results.recall(b"a.jpg", "m", "1") == {"cat": 0.9, "sofa": 0.1}
    assert results.recall(b"a.jpg", "m", "2") is None
    assert results.recall(b"a.jpg", "n", "1") is None
    assert results.recall(b"other", "m", "1") is None


def test_a_photo_that_changed_while_it_was_tagged_stays_pending(
    database: Database, queue: Queue
) -> None:
    queue.enqueue([photo("a.jpg")], 1)
    job = queue.due(1, 1)[0]
    queue.enqueue([photo("a.jpg", mtime_ns=2)], 2)
    Results(database).save([Tagged(job, b"d", {"cat": 0.9}, [Tag("cat", 0.9)])], "m", "1", 3)
    assert names(queue, 3) == ["a.jpg"]
    assert Results(database).tags(job.id) == []


def test_a_renamed_file_keeps_its_tags_and_only_its_sidecar_is_looked_at(
    database: Database, photos: Photos, queue: Queue
) -> None:
    queue.enqueue([photo("a.jpg", inode=5)], 1)
    number = tag(database, queue, "a.jpg")
    assert photos.same_file(photo("a.jpg", inode=5).fingerprint) == [(number, Path("/album/a.jpg"))]
    photos.relocate(number, Path("/elsewhere/b.jpg"), 20)
    assert photos.listing("/album") == {}
    assert [j.photo.path for j in queue.due_writes(20, 10)] == [Path("/elsewhere/b.jpg")]
    assert Results(database).tags(number) == [Tag("cat", 0.9)]


def test_a_photo_is_missing_after_two_scans_without_it_and_back_when_seen(
    database: Database, photos: Photos, queue: Queue
) -> None:
    queue.enqueue([photo("a.jpg")], 1)
    number = tag(database, queue, "a.jpg")
    photos.missed([number], 1000)
    assert photos.listing("/album")["a.jpg"].state == "tagged"
    photos.missed([number], 1000)
    assert photos.listing("/album")["a.jpg"].state == "missing"
    photos.seen([number])
    row = photos.listing("/album")["a.jpg"]
    assert (row.state, row.missed_scans) == ("tagged", 0)


def test_directories_are_found_below_a_path_and_not_beside_it(photos: Photos, queue: Queue) -> None:
    for index, directory in enumerate(("/a", "/a/b", "/a/b/c", "/ab", "/a0", "/a b")):
        queue.enqueue([Photo(Path(directory) / "x.jpg", Fingerprint(1, 1, 1, index))], 1)
    assert sorted(photos.directories_under("/a")) == ["/a", "/a/b", "/a/b/c"]
    assert sorted(photos.directories_under("/a/b/")) == ["/a/b", "/a/b/c"]
    assert len(photos.directories_under("/")) == 6


@pytest.mark.parametrize("question", ["due", "due_writes", "next_due", "waiting"])
def test_the_queue_is_asked_by_its_indexes_however_many_photos_are_done(
    question: str, database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue([photo(f"{n}.jpg", inode=n) for n in range(3)], 1)
    tag(database, queue, "0.jpg")
    asked: list[tuple[str, tuple[object, ...]]] = []
    real = database.rows

    def rows(sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        asked.append((sql, parameters))
        return real(sql, parameters)

    monkeypatch.setattr(database, "rows", rows)
    arguments = {"due": (10, 5), "due_writes": (10, 5)}.get(question, ())
    assert getattr(queue, question)(*arguments) is not None  # type: ignore[misc]
    for sql, parameters in asked:
        plan = " ".join(str(row[3]) for row in real(f"EXPLAIN QUERY PLAN {sql}", parameters))
        assert "SCAN" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "photos_queue" in plan or "photos_retry" in plan, plan
