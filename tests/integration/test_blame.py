"""A photo that ends the process costs only itself, however often a supervisor starts it again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd

Put = Callable[[str, str], Path]

DEADLY = """
import os, signal
from photoramd.cli import main
from photoramd.contained.client import Contained
see = Contained.see

def deadly(self, path, *rest):
    # A weakness of this process itself: no Python code sees the end of it.
    if "deadly" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return see(self, path, *rest)

Contained.see = deadly
main()
"""

GOOD = ("cat", "coffee", "china", "rocket", "flower", "motorcycle")


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album, program=DEADLY, debounce="batch_size = 2")
    try:
        yield instance
    finally:
        instance.close()


def scan(instance: Photoramd) -> int:
    return instance.run("scan", instance.album).returncode


@pytest.mark.parametrize("count", [1, 2])
def test_each_deadly_photo_fails_once_and_all_others_are_written(
    photoramd: Photoramd, put: Put, album: Path, count: int
) -> None:
    for name in GOOD:
        put(name, f"{name}.jpg")
    deadly = [put("cat", f"deadly{number}.jpg") for number in range(count)]
    codes = [scan(photoramd)]
    while codes[-1] != 0:
        assert len(codes) < 10
        codes.append(scan(photoramd))
    assert all(Path(f"{album}/{name}.jpg.xmp").exists() for name in GOOD)
    # Each is met once among others and once alone.
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert 1 + count <= len(codes[:-1]) <= 2 * count
    assert photoramd.states() == {"written": len(GOOD), "failed": count}
    for photo in deadly:
        assert "ended twice" in photoramd.ask("show", photo)["reason"]
    assert scan(photoramd) == 0


def test_a_stop_in_the_middle_blames_nobody(photoramd: Photoramd, put: Put) -> None:
    photoramd.start()
    for number in range(12):
        put(GOOD[number % len(GOOD)], f"{number}.jpg")
    photoramd.wait_for_log(".jpg: ")
    assert photoramd.stop() == 0
    states = photoramd.states()
    assert set(states) <= {"written", "tagged", "pending"}
    assert scan(photoramd) == 0
    assert photoramd.states() == {"written": 12}
