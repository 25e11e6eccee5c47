"""Photos that were begun when a process died: tried once more, alone, then failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Job
from photoramd.database.queue import RETRY_SECONDS, Queue
from photoramd.database.requests import Requests
from photoramd.database.results import Results, Tagged
from photoramd.photo import Fingerprint, Photo


def photo(name: str, inode: int, mtime_ns: int = 1) -> Photo:
    return Photo(Path("/album") / name, Fingerprint(100, mtime_ns, 7, inode))


@pytest.fixture
def queue(database: Database) -> Queue:
    queue = Queue(database)
    queue.enqueue([photo("a", 1), photo("b", 2), photo("c", 3)], 10)
    return queue


def names(jobs: list[Job]) -> list[str]:
    return sorted(job.photo.path.name for job in jobs)


def job(queue: Queue, name: str) -> Job:
    (found,) = [each for each in queue.due(10, 10) if each.photo.path.name == name]
    return found


def test_what_was_begun_waits_for_the_others_and_comes_alone(queue: Queue) -> None:
    queue.begin([job(queue, "a"), job(queue, "b")])
    assert names(queue.due(10, 10)) == ["c"]
    assert queue.next_due() == 0
    first = queue.suspect(10)
    assert first is not None
    assert first.photo.path.name == "a"


def test_nothing_is_suspected_without_a_death(queue: Queue) -> None:
    assert queue.suspect(10) is None
    assert queue.convict(10) == []


def test_begun_alone_and_dead_again_it_fails_with_the_reason(
    queue: Queue, database: Database
) -> None:
    queue.begin([job(queue, "a"), job(queue, "b")])  # the first death
    suspect = queue.suspect(10)
    assert suspect is not None
    queue.begin([suspect])  # the second
    assert names(queue.convict(20)) == ["a"]
    rows = database.rows("SELECT state, reason, next_attempt FROM photos WHERE name = x'61'")
    ((state, reason, next_attempt),) = rows
    assert state == "failed"
    assert "ended twice" in reason
    assert next_attempt == 20 + RETRY_SECONDS[0]
    other = queue.suspect(20)
    assert other is not None
    assert other.photo.path.name == "b"


def test_later_it_is_tried_alone_again_and_the_next_death_counts_at_once(queue: Queue) -> None:
    suspect = job(queue, "a")
    queue.begin([suspect])
    queue.begin([suspect])
    queue.convict(20)
    again = queue.suspect(20 + RETRY_SECONDS[0])
    assert again is not None
    queue.begin([again])
    assert names(queue.convict(100)) == ["a"]


def test_an_end_of_any_kind_clears_it(queue: Queue, database: Database) -> None:
    tagged, failed, gone = (job(queue, name) for name in "abc")
    queue.begin([tagged, failed, gone])
    Results(database).save([Tagged(tagged, b"a", {"cat": 0.9}, [])], "m", "1", 20)
    queue.fail(failed, "damaged", 20)
    queue.postpone(gone, 30)
    assert queue.suspect(1e9) is None
    assert database.rows("SELECT sum(begun) FROM photos") == [(0,)]


def test_a_clean_stop_blames_nobody(queue: Queue) -> None:
    jobs = queue.due(10, 10)
    queue.begin(jobs)
    queue.abandon(each.id for each in jobs)
    assert queue.suspect(10) is None
    assert len(queue.due(10, 10)) == 3


@pytest.mark.parametrize("how", ["changed", "requested"])
def test_a_change_or_a_request_gives_it_another_chance(
    queue: Queue, database: Database, how: str
) -> None:
    queue.begin([job(queue, "a")])
    if how == "changed":
        queue.enqueue([photo("a", 1, mtime_ns=2)], 20)
    else:
        Requests(database).retag("/album/a", only_failed=False)
    assert queue.suspect(30) is None
    assert len(queue.due(30, 10)) == 3
