"""Whatever a photo does to the process that reads it, it costs itself: with the real daemon.

What goes wrong is made by a FAKE preprocessing, in the place of a decoder with a weakness.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from tests.support import hostile
from tests.support.clock import bound
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
    photoramd = make(seconds=bound(3))
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
    assert time.monotonic() - began < bound(5)
    assert photoramd.states() == {"written": len(GOOD), "pending": 1}


HANGING_EXIFTOOL = """#!/usr/bin/env python3
import sys, time

for line in sys.stdin:
    if line == "-ver\\n":
        is_version = True
    if line.startswith("-execute"):
        number = line.removeprefix("-execute").strip()
        if not is_version:
            time.sleep(3600)
        is_version = False
        print(f"12.57\\n{{ready{number}}}", flush=True)
        print(f"{{done{number}}}", file=sys.stderr, flush=True)
"""


def test_a_stop_does_not_wait_for_an_exiftool_that_hangs(
    tmp_path: Path, album: Path, put: Put
) -> None:
    program = tmp_path / "bin" / "exiftool"
    program.parent.mkdir()
    program.write_text(HANGING_EXIFTOOL)  # a FAKE: no photo makes the real one hang for sure
    program.chmod(0o755)
    photoramd = Photoramd(tmp_path, album, watch='write = "embed"')
    with Supervisor(tmp_path) as supervisor:
        path = f"{program.parent}:{os.environ['PATH']}"
        photoramd.environment = {**supervisor.environment, "PATH": path}
        photoramd.launch()
        try:
            supervisor.wait_for("READY=1")
            since = time.monotonic()
            with Image.open(put("cat", "cat.png")) as image:
                image.save(album / "cat.tif")
            while not photoramd.states().get("tagged"):
                supervisor.drain(0.1)
                assert time.monotonic() - since < bound(60)
            supervisor.drain(3)
            assert supervisor.longest_pause(since) < bound(2)
            began = time.monotonic()
            assert photoramd.stop() == 0
            assert time.monotonic() - began < bound(5)
        finally:
            photoramd.close()
    assert photoramd.states()["tagged"] >= 1


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
            assert time.monotonic() - since < bound(60)
        supervisor.drain(0.1)
        assert supervisor.longest_pause(since) < bound(2)
        put_good(put)
        while photoramd.states() != {"failed": 1, "written": len(GOOD)}:
            supervisor.drain(0.2)
            assert time.monotonic() - since < bound(120)


def memory_kib(process: int) -> int:
    """The memory of a process and those it has started, what they share counted once."""
    total = 0
    with suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total + sum(map(memory_kib, _children(process)))


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
def test_hostile_files_cost_only_themselves_under_a_watchdog_and_little_memory(
    tmp_path: Path, album: Path, put: Put, mode: str
) -> None:
    bad = [hostile.put(album / f"{name}.{each.suffix}", name) for name, each in hostile.BAD.items()]
    # Good ones, but large: they take turns.
    large = [album / f"large{number}.jpg" for number in range(3)]
    Image.new("CMYK", (9000, 9000), "teal").save(large[0], progressive=True, quality=20)
    for each in large[1:]:
        shutil.copyfile(large[0], each)
    pages = [Image.new("1", (800, 600)) for _ in range(300)]
    pages[0].save(album / "pages.tif", save_all=True, append_images=pages[1:])
    written = [*put_good(put), *large, album / "pages.tif"]
    photoramd = Photoramd(tmp_path, album, watch=f'write = "{mode}"')
    most = 0
    with Supervisor(tmp_path) as supervisor:
        photoramd.environment = supervisor.waiting(20)
        photoramd.launch()
        assert photoramd.process is not None
        try:
            supervisor.wait_for("READY=1")
            since = time.monotonic()
            while photoramd.states() != {"written": len(written), "failed": len(bad)}:
                supervisor.drain(0.1)
                most = max(most, memory_kib(photoramd.process.pid))
                assert time.monotonic() - since < 240, photoramd.states()
            supervisor.drain(0.1)
            assert supervisor.longest_pause(since) < bound(10)
            assert photoramd.process.poll() is None
        finally:
            photoramd.close()
    assert most < 1.5 * 2**20
    for name, path in zip(hostile.BAD, bad, strict=True):
        assert hostile.BAD[name].reason in photoramd.ask("show", path)["reason"]
    assert sidecar_of(album / "pages.tif").exists()  # too many pages to prove them unchanged


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

    def is_done(states: dict[str, int]) -> bool:
        return sum(states.values()) == len(photos) and not states.get("pending")

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        photos: list[Path] = []
        while killed < 5:
            more = range(len(photos), len(photos) + 20)
            photos += [put(GOOD[number % len(GOOD)], f"{number}.jpg") for number in more]
            wait_for(lambda: is_done(photoramd.states()))
    finally:
        ended.set()
        thread.join()
    assert photoramd.process.poll() is None
    photoramd.run("retag", photoramd.album, "--failed")
    wait_for(lambda: photoramd.states() == {"written": len(photos)})
    assert all(sidecar_of(each).exists() for each in photos)
