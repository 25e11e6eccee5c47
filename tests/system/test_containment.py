"""Whatever a photo does to the process that reads it, it costs itself: with the real daemon.

What goes wrong is made by a FAKE preprocessing, in the place of a decoder with a weakness.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd, wait_for
from tests.support.files import sidecar_of
from tests.support.misbehaving_crop import DEADLY, photo
from tests.support.supervisor import Supervisor

Put = Callable[[str, str], Path]

PROGRAM = """
from photoramd.cli import main
from photoramd.contained import pool
from photoramd.models.embedded.tagger import EmbeddedTagger
from tests.support.planning_badly import PlanningBadly

EmbeddedTagger.crop = PlanningBadly()
pool.TASK_SECONDS = {seconds}
main()
"""

GOOD = ("cat", "coffee", "china", "rocket", "flower", "motorcycle")

BAD = {
    "crash": "crashed the decoder (SIGSEGV)",
    "hang": "took over",
    "compute": "too much processor time",
    "memory": "not enough memory",
    "exit": "ended the process with code 7",
    "socket": "what no decoder has to do",
    "bug": "unexpected error",
}


@pytest.fixture
def make(tmp_path: Path, album: Path) -> Iterator[Callable[..., Photoramd]]:
    made: list[Photoramd] = []

    def build(seconds: float = 60, **sections: str) -> Photoramd:
        program = PROGRAM.format(seconds=seconds)
        made.append(Photoramd(tmp_path, album, program=program, **sections))
        return made[-1]

    try:
        yield build
    finally:
        for each in made:
            each.close()


def put_good(put: Put) -> list[Path]:
    return [put(name, f"{name}.jpg") for name in GOOD]


def test_each_bad_photo_fails_once_with_its_reason_and_all_others_are_written(
    make: Callable[..., Photoramd], put: Put, album: Path
) -> None:
    bad = {name: photo(album / f"{name}.png", name) for name in BAD}
    good = put_good(put)
    photoramd = make(seconds=2)
    assert photoramd.run("scan").returncode == 0
    assert photoramd.states() == {"written": len(GOOD), "failed": len(BAD)}
    assert all(sidecar_of(each).exists() for each in good)
    for name, path in bad.items():
        assert BAD[name] in photoramd.ask("show", path)["reason"]
    assert photoramd.run("scan").returncode == 0
    assert photoramd.states() == {"written": len(GOOD), "failed": len(BAD)}


def test_a_photo_whose_sidecar_ends_a_worker_costs_itself_and_keeps_its_keywords(
    make: Callable[..., Photoramd], put: Put
) -> None:
    deadly = put("cat", f"{DEADLY}.jpg")
    good = put_good(put)
    photoramd = make()
    photoramd.run("scan")
    assert photoramd.states() == {"written": len(GOOD), "tagged": 1}
    assert all(sidecar_of(each).exists() for each in good)
    assert "crashed the decoder" in photoramd.ask("show", deadly)["reason"]
    assert not sidecar_of(deadly).exists()


def test_a_stop_does_not_wait_for_a_photo_that_hangs(
    make: Callable[..., Photoramd], put: Put, album: Path
) -> None:
    photoramd = make()
    photoramd.start()
    photo(album / "hang.png", "hang")
    put_good(put)
    wait_for(lambda: photoramd.states().get("written") == len(GOOD))
    began = time.monotonic()
    assert photoramd.stop() == 0
    assert time.monotonic() - began < 5
    assert photoramd.states() == {"written": len(GOOD), "pending": 1}


def test_the_watchdog_is_told_while_a_photo_hangs_and_no_longer_than_it_may(
    make: Callable[..., Photoramd], put: Put, album: Path, tmp_path: Path
) -> None:
    photoramd = make(seconds=4)
    with Supervisor(tmp_path) as supervisor:
        photoramd.environment = supervisor.environment
        photoramd.launch()
        supervisor.wait_for("READY=1")
        since = time.monotonic()
        photo(album / "hang.png", "hang")
        # Twice the time that it has, and the watchdog would bark after half of it.
        while photoramd.states() != {"failed": 1}:
            supervisor.drain(0.2)
            assert time.monotonic() - since < 60
        supervisor.drain(0.1)
        assert supervisor.longest_pause(since) < 2
        put_good(put)
        while photoramd.states() != {"failed": 1, "written": len(GOOD)}:
            supervisor.drain(0.2)
            assert time.monotonic() - since < 120


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _workers(process: int) -> list[int]:
    """The processes that the daemon's server of workers has forked."""
    return [
        worker
        for child in _children(process)
        if b"photoramd.contained.server" in Path(f"/proc/{child}/cmdline").read_bytes()
        for worker in _children(child)
    ]


def test_workers_that_are_killed_all_the_time_cost_time_alone(
    make: Callable[..., Photoramd], put: Put
) -> None:
    photoramd = make()
    photoramd.start()
    assert photoramd.process is not None
    daemon, ended, killed = photoramd.process.pid, threading.Event(), 0

    def kill() -> None:
        nonlocal killed
        while not ended.wait(0.15):
            for worker in _workers(daemon):
                with suppress(OSError):
                    os.kill(worker, signal.SIGKILL)
                    killed += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        photos = [put(GOOD[number % len(GOOD)], f"{number}.jpg") for number in range(40)]
        wait_for(lambda: photoramd.states().get("pending", 0) == 0 and photoramd.states())
    finally:
        ended.set()
        thread.join()
    assert killed > 3
    assert photoramd.process.poll() is None
    photoramd.run("retag", photoramd.album, "--failed")
    wait_for(lambda: photoramd.states() == {"written": len(photos)})
    assert all(sidecar_of(each).exists() for each in photos)
