"""Who is told of changes, who no longer, and what the database is asked meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.errors import StoreError
from photoramd.web import events, news
from photoramd.web.events import MOST_CLIENTS, Feed
from photoramd.web.news import (
    RENEWAL_SECONDS,
    STATUS_SECONDS,
    Change,
    LiveStatus,
    Lookout,
    status_now,
)
from tests.support.files import put_in_place
from tests.support.known_photos import fill
from tests.support.loops import run


class Changing(Lookout):
    """Something is new at each look; how often it was looked, and closed."""

    def __init__(self) -> None:
        self.looks = self.closed = 0

    def look(self) -> list[tuple[str, msgspec.Struct]]:
        self.looks += 1
        return [("change", Change(str(self.looks)))]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0)


def test_a_client_that_does_not_read_is_let_go_and_the_others_are_not() -> None:
    async def scene() -> None:
        lookout = Changing()
        feed = Feed(lookout)
        slow, quick = feed.join(), feed.join()
        assert slow is not None
        assert quick is not None
        told = quick.events()
        assert await anext(told) == b"retry: 3000\n\n"
        for number in range(1, 100):
            assert await anext(told) == b'event: change\ndata: {"version":"%d"}\n\n' % number
        assert feed._clients == {quick}
        assert [each async for each in slow.events()] == [b"retry: 3000\n\n"]
        feed.leave(slow)
        feed.leave(quick)

    run(scene)


def test_without_clients_nothing_is_looked_at() -> None:
    async def scene() -> None:
        lookout = Changing()
        feed = Feed(lookout)
        await asyncio.sleep(0)
        assert lookout.looks == 0
        for _ in range(3):
            client = feed.join()
            assert client is not None
            told = client.events()
            await anext(told)
            await anext(told)
            task = feed._task
            assert task is not None
            feed.leave(client)
            with pytest.raises(asyncio.CancelledError):
                await task
            looks = lookout.looks
            await asyncio.sleep(0)
            assert lookout.looks == looks
        assert lookout.closed == 3

    run(scene)


def test_only_so_many_clients_are_taken_and_none_after_the_end() -> None:
    async def scene() -> None:
        feed = Feed(Changing())
        clients = [feed.join() for _ in range(MOST_CLIENTS)]
        assert None not in clients
        assert feed.join() is None
        feed.stop()
        for each in clients:
            assert each is not None
            assert [event async for event in each.events()] == [b"retry: 3000\n\n"]
            feed.leave(each)
        assert feed.join() is None

    run(scene)


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now = UnixTime(1_000_000.0)

    def __call__(self) -> UnixTime:
        return self.now

    def go(self, seconds: float) -> None:
        self.now = UnixTime(self.now + seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookout(tmp_path: Path, clock: Clock) -> Iterator[Lookout]:
    found = Lookout(tmp_path / "state" / "photoramd.db", clock)
    yield found
    found.close()


Names = Callable[[], list[str]]


def names(lookout: Lookout) -> list[str]:
    return [name for name, _ in lookout.look()]


def test_what_is_new_is_told_once(database: Database, lookout: Lookout, clock: Clock) -> None:
    fill(database)
    told = dict(lookout.look())
    assert told["status"] == LiveStatus(running=True, pending=1, failed=1, photos_a_minute=None)
    assert names(lookout) == []
    clock.go(RENEWAL_SECONDS)
    assert names(lookout) == []  # it was counted again, and is the same
    with database.transaction() as db:
        db.execute("UPDATE photos SET state = 'pending' WHERE state = 'failed'")
    clock.go(STATUS_SECONDS / 2)
    assert names(lookout) == []  # not counted that often; and no set of photos changed
    clock.go(STATUS_SECONDS / 2)
    assert names(lookout) == ["status"]
    with database.transaction() as db:
        db.execute("DELETE FROM keywords")
    assert names(lookout) == ["change"]
    database.close()
    assert lookout.look() == [("status", LiveStatus(False, 2, 0, None))]


def test_a_database_that_is_put_in_its_place_is_seen(
    database: Database, lookout: Lookout, clock: Clock, tmp_path: Path
) -> None:
    fill(database)
    path = database.path
    first = dict(lookout.look())
    database.close()
    other = tmp_path / "other.db"
    with Database(other):
        pass
    put_in_place(other, path)
    told = dict(lookout.look())
    assert told["status"] == LiveStatus(False, 0, 0, None)
    assert told["change"] != first["change"]


def test_photos_that_wait_are_counted_by_an_index(database: Database) -> None:
    with database.transaction() as db:
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        status_now(db, True, UnixTime(0))
        db.set_trace_callback(None)
        counts = [sql for sql in asked if "GROUP BY state" in sql]
        plans = [row[3] for sql in counts for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert plans
    assert all("USING COVERING INDEX photos_retry" in plan for plan in plans)


def test_what_could_not_be_told_is_told_at_the_next_look(
    database: Database, lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)

    def damaged(*_: object) -> LiveStatus:
        raise StoreError("damaged")

    with monkeypatch.context() as patched:
        patched.setattr(news, "status_now", damaged)
        with pytest.raises(StoreError):
            lookout.look()
    assert names(lookout) == ["change", "status"]


def test_it_is_closed_only_when_no_thread_looks(database: Database) -> None:
    fill(database)
    looks, goes_on = threading.Event(), threading.Event()

    def slow_now() -> UnixTime:
        looks.set()
        assert goes_on.wait(30)
        return UnixTime(1_000_000.0)

    lookout = Lookout(database.path, slow_now)
    found: list[str] = []
    looking = threading.Thread(target=lambda: found.extend(names(lookout)))
    looking.start()
    assert looks.wait(30)
    closing = threading.Thread(target=lookout.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    goes_on.set()
    looking.join(30)
    closing.join(30)
    assert found == ["change", "status"]
    assert lookout._connection is None
