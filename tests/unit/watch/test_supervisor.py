"""The round, with real directories, watches and database; only time is made up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.roots import HealthStore
from photoramd.system.mounts import Mount
from photoramd.watch import supervisor as patrol_module
from photoramd.watch.filters import Filter
from photoramd.watch.reconciler import FinishedScan
from photoramd.watch.roots import Root
from photoramd.watch.scanner import Scan
from photoramd.watch.supervisor import CONFIRM_SECONDS, RETRY_SECONDS, Supervisor
from photoramd.watch.watcher import Inbox, Watcher
from tests.support.files import photo_at

Put = Callable[[str, str], Path]


class Round:
    """A patrol of one root."""

    def __init__(self, database: Database, album: Path, watcher: Watcher, poll: str) -> None:
        self.path = os.fspath(album)
        self.photos, self.queue = Photos(database), Queue(database)
        self.root = Root(self.path, Filter(album), poll)
        self.database = database
        self.watcher = watcher
        self.asked: list[str] = []
        self.patrol = Supervisor(
            [self.root], HealthStore(database, [self.path]), self.queue, self.asked.append
        )

    def begin(self) -> None:
        self.patrol.begin(self.watcher, 0, 1000)
        self.asked.clear()

    def step(self, now: float) -> list[str]:
        """One step; returns the scans that it asked for."""
        self.asked.clear()
        self.patrol.step(now, 1000 + now)
        return list(self.asked)

    def scan(
        self, now: float, seconds: float = 0, *, more: dict[str, tuple[int, int]] | None = None
    ) -> None:
        """A whole scan has ended."""
        scan = Scan(self.path, self.root.filter, self.photos)
        for _ in scan:
            pass
        scan.directories |= more or {}
        finished = FinishedScan(self.root, scan, seconds)
        self.patrol.record_scan(finished, now, 1000 + now)

    @property
    def health(self) -> str:
        return str(self.database.rows("SELECT health FROM roots")[0][0])


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with Watcher(Inbox(lambda: None)) as watching:
        yield watching


@pytest.fixture
def make(database: Database, album: Path, watcher: Watcher) -> Callable[..., Round]:
    return lambda poll="never": Round(database, album, watcher, poll)


def test_a_healthy_root_asks_for_nothing(make: Callable[..., Round], put: Put) -> None:
    put("cat", "a/b/cat.png")
    patrol = make()
    patrol.begin()
    patrol.scan(1)
    assert [patrol.step(now) for now in (10, 61, 62, 200, 3600)] == [[]] * 5
    assert patrol.health == "online"


def test_a_root_that_is_polled_is_scanned_after_twenty_times_the_last_scans_time(
    make: Callable[..., Round],
) -> None:
    patrol = make("always")
    patrol.begin()
    patrol.scan(1, seconds=0.1)
    assert patrol.step(60) == []
    assert patrol.step(61) == [patrol.path]
    assert patrol.step(62) == []  # asked already
    patrol.scan(70, seconds=10)
    assert patrol.step(269) == []
    assert patrol.step(270) == [patrol.path]


def test_a_root_that_appears_later_is_watched_and_scanned(
    make: Callable[..., Round], album: Path
) -> None:
    album.rmdir()
    patrol = make()
    patrol.begin()
    assert patrol.health == "offline"
    assert patrol.step(10) == []
    album.mkdir()
    assert patrol.path in patrol.step(20)
    assert patrol.watcher.is_alive(patrol.path)
    assert patrol.health == "online"


def test_photos_of_a_root_that_is_gone_wait_and_go_on_at_once_when_it_is_back(
    make: Callable[..., Round], album: Path, put: Put
) -> None:
    photo = put("cat", "cat.png")
    patrol = make()
    patrol.begin()
    patrol.queue.enqueue([photo_at(photo)], 1)
    album.rename(album.with_name("aside"))
    patrol.step(10)
    assert patrol.queue.due(1010, 10) == []
    album.with_name("aside").rename(album)
    assert patrol.path in patrol.step(20)
    assert len(patrol.queue.due(1020, 10)) == 1


def test_a_watch_that_has_ended_begins_anew(make: Callable[..., Round], album: Path) -> None:
    patrol = make()
    patrol.begin()
    assert patrol.watcher._observer is not None
    patrol.watcher._observer.stop()
    patrol.watcher._observer.join()
    assert not patrol.watcher.is_alive(patrol.path)
    assert patrol.step(61) == [patrol.path]
    assert patrol.watcher.is_alive(patrol.path)


def test_a_root_that_cannot_be_watched_completely_is_polled_and_tried_less_and_less_often(
    make: Callable[..., Round], album: Path, tmp_path: Path
) -> None:
    patrol = make("auto")
    patrol.begin()
    # A directory that no watch covers, whatever is tried: it is not in the root.
    status = tmp_path.stat()
    more = {os.fspath(tmp_path): (status.st_dev, status.st_ino)}
    patrol.scan(1, more=more)
    assert patrol.health == "online"  # it may be new
    assert patrol.path in patrol.step(1 + CONFIRM_SECONDS)  # watched anew
    patrol.step(10)
    assert patrol.health == "degraded"
    row = patrol.database.rows("SELECT remedy FROM roots")
    assert "max_user_watches" in row[0][0]
    assert patrol.step(10 + 61) == [patrol.path]  # polled
    # Tried again, and put right when all is covered.
    patrol.step(10 + 2 * RETRY_SECONDS)
    patrol.scan(200)
    assert patrol.health == "online"


def test_a_share_that_is_not_to_be_polled_is_degraded_and_says_what_that_means(
    make: Callable[..., Round], album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A table that says so in place of a real share: tests cannot mount one.
    share = [Mount(os.fspath(album), "nfs4")]
    monkeypatch.setattr(patrol_module, "read_mounts", lambda: share)
    patrol = make("never")
    patrol.begin()
    patrol.scan(1)
    assert patrol.health == "degraded"
    ((reason, remedy),) = patrol.database.rows("SELECT reason, remedy FROM roots")
    assert "nfs4" in reason
    assert "regular scans" in reason
    assert 'poll = "auto"' in remedy
    assert patrol.step(3600) == []
    # Mounted elsewhere, it is a directory like others.
    share.clear()
    patrol.step(3610)
    patrol.step(3680)
    assert patrol.health == "online"


def test_a_root_that_cannot_be_watched_and_is_not_polled_does_not_claim_to_be(
    make: Callable[..., Round], tmp_path: Path
) -> None:
    patrol = make("never")
    patrol.begin()
    status = tmp_path.stat()
    patrol.scan(1, more={os.fspath(tmp_path): (status.st_dev, status.st_ino)})
    patrol.step(1 + CONFIRM_SECONDS)
    patrol.step(10)
    assert patrol.health == "degraded"
    ((reason,),) = patrol.database.rows("SELECT reason FROM roots")
    assert "regular scans" in reason
    assert "looked through" not in reason
    assert patrol.step(71) == []


def test_a_directory_that_can_be_read_again_is_scanned(
    make: Callable[..., Round], album: Path
) -> None:
    patrol = make()
    patrol.begin()
    patrol.scan(1)
    # What reading says of a directory that is none any more: it is no longer unreadable.
    patrol.root.unreadable = (os.fspath(album / "gone"),)
    assert patrol.step(62) == [patrol.path]
    assert patrol.step(123) == []
