"""The same work at the same time is done once, and not too much at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from photoramd.errors import BusyError, DecodeError
from photoramd.pictures.flights import Flights
from tests.support.daemons import wait_for


def test_the_same_is_done_once_for_all() -> None:
    flights: Flights[int] = Flights(8, 2, 60)
    done: list[int] = []
    go = threading.Event()

    def work() -> int:
        go.wait(60)
        done.append(1)
        return len(done)

    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(flights.do, "a", work)
        wait_for(lambda: flights._flying)
        (flying,) = flights._flying.values()
        others = [threads.submit(flights.do, "a", work) for _ in range(4)]
        wait_for(lambda: len(flying._condition._waiters) == 4)
        go.set()
        assert [each.result(60) for each in (first, *others)] == [1] * 5
    assert flights.do("a", work) == 2
    assert not flights._flying


def test_all_who_wait_get_the_error() -> None:
    flights: Flights[int] = Flights(8, 2, 60)
    go = threading.Event()

    def work() -> int:
        go.wait(60)
        raise DecodeError("bad")

    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(flights.do, "a", work) for _ in range(3)]
        wait_for(lambda: flights._flying)
        go.set()
        for each in waiting:
            with pytest.raises(DecodeError, match="bad"):
                each.result(60)
    assert not flights._flying


def test_what_is_too_much_is_refused() -> None:
    flights: Flights[int] = Flights(2, 1, 0.05)
    go = threading.Event()

    def work() -> int:
        go.wait(60)
        return 1

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(flights.do, "a", work)
        wait_for(lambda: flights._flying)
        with pytest.raises(BusyError, match="too many"):
            flights.do("a", work)  # another's result takes too long
        with pytest.raises(BusyError, match="too many"):
            flights.do("b", work)  # its turn does not come
        flights._flying["c"] = flights._flying["a"]
        with pytest.raises(BusyError, match="too many"):
            flights.do("d", work)  # there are as many as may be
        del flights._flying["c"]
        go.set()
        assert first.result(60) == 1
    assert flights.do("b", work) == 1
