from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.photo import Tag
from photoramd.watch.debouncer import Debouncer
from photoramd.watch.stability import StabilityTracker
from tests.support.files import await_tick, photo_at

Put = Callable[[str, str], Path]


@pytest.fixture
def photos(database: Database) -> Photos:
    return Photos(database)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


@pytest.fixture
def intake(photos: Photos, queue: Queue) -> StabilityTracker:
    return StabilityTracker(
        photos, queue, Debouncer(quiet_seconds=5, max_wait_seconds=60, batch_size=8)
    )


def queued(queue: Queue) -> list[str]:
    return sorted(job.photo.path.name for job in queue.due(1000, 100))


def finish(database: Database, queue: Queue, path: Path) -> None:
    """Take a queued photo to `tagged`."""
    job = next(job for job in queue.due(1000, 100) if job.photo.path == path)
    Results(database).save([Tagged(job, b"d", {"cat": 0.9}, [Tag("cat", 0.9)])], "m", "1", 5)


def test_a_file_is_queued_after_its_quiet_period(
    intake: StabilityTracker, queue: Queue, put: Put
) -> None:
    photo = put("china", "a.jpg")
    intake.notice(os.fspath(photo), 0)
    assert intake.settle(4, 100) == 0
    assert intake.settle(5, 100) == 1
    assert queued(queue) == ["a.jpg"]


def test_a_file_that_grows_without_events_is_looked_at_again(
    intake: StabilityTracker, put: Put
) -> None:
    photo = put("china", "a.jpg")
    intake.notice(os.fspath(photo), 0)
    with photo.open("ab") as file:
        file.write(b"more")
    assert intake.settle(5, 100) == 0
    assert intake.settle(9, 100) == 0
    assert intake.settle(10, 100) == 1


def test_a_change_that_restores_size_and_time_is_still_a_change(
    intake: StabilityTracker, put: Put
) -> None:
    photo = put("china", "a.jpg")
    before = photo.stat()
    intake.notice(os.fspath(photo), 0)
    await_tick(photo)
    with photo.open("r+b") as file:
        file.write(b"x")
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert intake.settle(5, 100) == 0
    assert intake.settle(10, 100) == 1


def test_what_the_database_knows_is_dropped_at_the_door(
    intake: StabilityTracker, queue: Queue, put: Put
) -> None:
    photo = put("china", "a.jpg")
    queue.enqueue([photo_at(photo)], 1)
    intake.notice(os.fspath(photo), 0)
    assert len(intake) == 0


def test_files_that_vanish_and_things_that_are_no_files_come_to_nothing(
    intake: StabilityTracker, queue: Queue, put: Put, album: Path
) -> None:
    photo = put("china", "a.jpg")
    intake.notice(os.fspath(photo), 0)
    photo.unlink()
    os.mkfifo(album / "pipe.jpg")
    (album / "link.jpg").symlink_to("/etc/passwd")
    for name in ("pipe.jpg", "link.jpg", "never-there.jpg"):
        intake.notice(os.fspath(album / name), 0)
    assert intake.settle(5, 100) == 0
    assert queued(queue) == []


def test_a_renamed_file_keeps_its_row(
    intake: StabilityTracker, photos: Photos, queue: Queue, database: Database, put: Put
) -> None:
    photo = put("china", "a.jpg")
    queue.enqueue([photo_at(photo)], 1)
    finish(database, queue, photo)
    new = photo.with_name("b.jpg")
    photo.rename(new)
    intake.notice(os.fspath(new), 0)
    intake.settle(5, 100)
    assert photos.find(os.fspath(photo)) is None
    row = photos.find(os.fspath(new))
    assert row is not None
    assert row.state == "tagged"
    assert queued(queue) == []


def test_a_copy_and_a_hard_link_get_rows_of_their_own(
    intake: StabilityTracker, photos: Photos, queue: Queue, database: Database, put: Put
) -> None:
    photo = put("china", "a.jpg")
    queue.enqueue([photo_at(photo)], 1)
    finish(database, queue, photo)
    copy, link = photo.with_name("copy.jpg"), photo.with_name("link.jpg")
    shutil.copy2(photo, copy)
    os.link(photo, link)
    for path in (copy, link):
        intake.notice(os.fspath(path), 0)
    intake.settle(5, 100)
    assert queued(queue) == ["copy.jpg", "link.jpg"]
    assert photos.find(os.fspath(photo)) is not None


def test_a_file_moved_over_a_known_one_is_that_ones_new_content(
    intake: StabilityTracker, queue: Queue, database: Database, put: Put
) -> None:
    first, second = put("china", "a.jpg"), put("flower", "b.jpg")
    queue.enqueue([photo_at(first), photo_at(second)], 1)
    finish(database, queue, first)
    finish(database, queue, second)
    second.rename(first)
    intake.notice(os.fspath(first), 0)
    intake.settle(5, 100)
    assert queued(queue) == ["a.jpg"]


def test_a_scan_does_not_disturb_what_already_waits(intake: StabilityTracker, put: Put) -> None:
    photo = put("china", "a.jpg")
    intake.notice(os.fspath(photo), 0)
    intake.offer([photo_at(photo)], 4)
    assert intake.settle(5, 100) == 1


def test_a_photo_that_comes_back_while_it_is_missed_is_not_missing(
    photos: Photos, queue: Queue, intake: StabilityTracker, put: Put
) -> None:
    photo = put("china", "a.jpg")
    queue.enqueue([photo_at(photo)], 1)
    row = photos.find(os.fspath(photo))
    assert row is not None
    photos.missed([row.id], 2)
    # The second scan has passed its place when it is there again.
    intake.notice(os.fspath(photo), 3)
    photos.missed([row.id], 4)
    row = photos.find(os.fspath(photo))
    assert row is not None
    assert row.state == "pending"


@pytest.fixture
def known(intake: StabilityTracker, queue: Queue, database: Database, put: Put) -> Path:
    """A tagged photo."""
    photo = put("china", "deep/a.jpg")
    intake.notice(os.fspath(photo), 0)
    intake.settle(5, 100)
    finish(database, queue, photo)
    return photo


def state(photos: Photos, path: Path) -> str:
    found = photos.find(os.fspath(path))
    assert found is not None
    return found.state


def test_a_deleted_photo_is_missing_after_the_quiet_period(
    intake: StabilityTracker, photos: Photos, known: Path
) -> None:
    known.unlink()
    intake.notice(os.fspath(known), 10)
    intake.settle(14, 110)
    assert state(photos, known) == "tagged"
    intake.settle(15, 111)
    assert state(photos, known) == "missing"


def test_a_photo_that_is_back_in_time_is_as_before(
    intake: StabilityTracker, photos: Photos, queue: Queue, known: Path, tmp_path: Path
) -> None:
    known.rename(tmp_path / "kept")
    intake.notice(os.fspath(known), 10)
    (tmp_path / "kept").rename(known)
    intake.settle(15, 111)
    intake.settle(25, 121)
    assert state(photos, known) == "tagged"
    assert queued(queue) == []
    assert len(intake) == 0


def test_a_deleted_directory_loses_its_photos_and_a_replaced_one_does_not(
    intake: StabilityTracker, photos: Photos, known: Path
) -> None:
    shutil.rmtree(known.parent)
    intake.notice(os.fspath(known), 10)
    known.parent.mkdir()  # another one, such as a mount point
    intake.settle(15, 111)
    assert state(photos, known) == "tagged"
    known.parent.rmdir()
    intake.notice(os.fspath(known), 20)
    intake.settle(25, 121)
    assert state(photos, known) == "missing"


def test_what_an_offline_root_lost_proves_nothing(
    photos: Photos, queue: Queue, database: Database, put: Put
) -> None:
    online = [True]
    tracker = StabilityTracker(photos, queue, Debouncer(quiet_seconds=5), lambda _: online[0])
    photo = put("china", "a.jpg")
    tracker.notice(os.fspath(photo), 0)
    tracker.settle(5, 100)
    finish(database, queue, photo)
    photo.unlink()
    tracker.notice(os.fspath(photo), 10)
    online[0] = False
    tracker.settle(15, 111)
    assert state(photos, photo) == "tagged"
