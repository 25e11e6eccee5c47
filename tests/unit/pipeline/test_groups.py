"""Groups of photos with the model: how many, in which order, and what an end waits for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from photoramd.pipeline.groups import Groups
from photoramd.pipeline.scorer import Recalled, Scored
from tests.support.clock import bound

NOTHING = Scored({}, set(), {}, {})


class Photo:
    """All that groups know of a decoded photo."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest


def submit(groups: Groups, *digests: bytes) -> None:
    members: Any = [(None, Photo(digest)) for digest in digests]
    pixels: Any = dict.fromkeys(digests)
    groups.submit(members, Recalled({}, pixels))


def digests(groups: Groups) -> list[list[bytes]]:
    return [[photo.digest for _, photo in members] for members, _ in groups.take()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_a_model_on_the_processor_runs_at_once_in_this_thread() -> None:
    threads = []

    def infer(_: Recalled) -> Scored:
        threads.append(threading.current_thread())
        return NOTHING

    groups = Groups(infer, lambda: 0)
    assert groups.has_room
    submit(groups, b"a")
    assert threads == [threading.current_thread()]
    assert groups.is_any_done
    assert not groups.has_room
    assert digests(groups) == [[b"a"]]
    groups.close()


def test_one_more_group_than_the_model_works_on_is_in_flight() -> None:
    go, running = threading.Event(), []

    def infer(recalled: Recalled) -> Scored:
        running.append(list(recalled.unseen))
        assert go.wait(60)
        return NOTHING

    groups = Groups(infer, lambda: 2)
    for number, (idle, room) in enumerate([(True, True), (False, True), (False, False)]):
        submit(groups, bytes([number]))
        assert (groups.is_idle, groups.has_room) == (idle, room)
    until(lambda: len(running) == 2)
    found: Any = groups.find(b"\2")
    assert found.digest == b"\2"
    assert not groups.is_any_done
    assert digests(groups) == []
    go.set()
    until(lambda: all(each.done() for each in groups.futures))
    assert digests(groups) == [[b"\0"], [b"\1"], [b"\2"]]
    assert groups.find(b"\2") is None
    groups.close()


def test_groups_come_back_when_they_are_done_and_not_before_slower_ones() -> None:
    slow = threading.Event()

    def infer(recalled: Recalled) -> Scored:
        if b"slow" in recalled.unseen:
            assert slow.wait(60)
        return NOTHING

    groups = Groups(infer, lambda: 2)
    submit(groups, b"slow")
    submit(groups, b"fast")
    until(lambda: groups.is_any_done)
    assert digests(groups) == [[b"fast"]]
    slow.set()
    until(lambda: groups.is_any_done)
    assert digests(groups) == [[b"slow"]]
    groups.close()


def test_what_is_stored_needs_no_thread() -> None:
    groups = Groups(lambda _: NOTHING, lambda: 1)
    before = threading.active_count()
    groups.submit([], Recalled({b"a": {}}, {}))
    assert groups.is_any_done
    assert threading.active_count() == before
    groups.close()


def test_an_unexpected_error_is_raised_where_results_are_taken() -> None:
    def infer(_: Recalled) -> Scored:
        raise ZeroDivisionError

    groups = Groups(infer, lambda: 1)
    submit(groups, b"a")
    until(lambda: groups.is_any_done)
    with pytest.raises(ZeroDivisionError):
        groups.take()
    groups.close()


def test_a_thread_that_cannot_be_started_keeps_nothing_from_being_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    groups = Groups(lambda _: NOTHING, lambda: 1)
    with pytest.raises(RuntimeError):
        submit(groups, b"a")
    groups.close()


HANGING = """
import threading
from photoramd.pipeline.groups import Groups
from photoramd.pipeline.scorer import Recalled
groups = Groups(lambda _: threading.Event().wait(), lambda: 1)
groups.submit([], Recalled({}, {b"a": None}))
groups.submit([], Recalled({}, {b"b": None}))
groups.close()
print("closed")
"""


def test_no_end_waits_for_a_call_that_hangs() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING],
        capture_output=True,
        text=True,
        timeout=bound(60),
        check=True,
    )
    assert done.stdout == "closed\n"
    assert time.monotonic() - began < bound(30)
