"""The cache of small pictures: whatever befalls it costs only time."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.clock import UnixTime
from photoramd.database import thumbnails
from photoramd.database.picture_keys import key_of_file, key_of_picture
from photoramd.database.thumbnails import REST_SECONDS, Thumbnails
from photoramd.images.renditions import PREVIEW, THUMBNAIL
from photoramd.photo import Fingerprint

LIMIT = 4_000_000
NOW = UnixTime(1_700_000_000.0)
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))
ONE, TWO = b"one" * 7000, b"two" * 7000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[Thumbnails]:
    with closing(Thumbnails(directory, LIMIT)) as opened:
        yield opened


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def content(number: int, size: int = 21_000) -> bytes:
    return random.Random(number).randbytes(size)  # noqa: S311


def later(hours: float) -> UnixTime:
    return UnixTime(NOW + 3600 * hours)


def size(directory: Path) -> int:
    return sum(each.stat().st_size for each in directory.iterdir())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


def test_what_was_put_is_got(cache: Thumbnails) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    cache.put(A, PREVIEW, TWO, NOW)
    cache.put(B, THUMBNAIL, ONE, NOW)
    cache.put(B, THUMBNAIL, TWO, NOW)
    assert cache.get(A, THUMBNAIL, NOW) == ONE
    assert cache.get(A, PREVIEW, NOW) == TWO
    assert cache.get(B, THUMBNAIL, NOW) == TWO
    assert cache.get(B, PREVIEW, NOW) is None
    assert cache.get(C, THUMBNAIL, NOW) is None


def test_nothing_is_made_before_it_is_needed(directory: Path, cache: Thumbnails) -> None:
    cache.close()
    assert not directory.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_all_files_are_the_owners_alone(directory: Path, cache: Thumbnails, umask: int) -> None:
    before = os.umask(umask)
    try:
        cache.put(A, THUMBNAIL, ONE, NOW)
    finally:
        os.umask(before)
    assert {each.name.rpartition("db")[2] for each in directory.iterdir()} == {"", "-wal", "-shm"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("limit", [1_000_000, 4_000_000, 40_000_000])
def test_it_never_takes_more_than_its_limit(directory: Path, limit: int) -> None:
    largest = 0
    generator = random.Random(1)  # noqa: S311
    with closing(Thumbnails(directory, limit)) as cache:
        written = 0
        number = 0
        while written < 2.5 * limit:
            number += 1
            length = generator.choice([200, 9000, 21_000, 21_000, min(300_000, limit // 9)])
            cache.put(key(number), THUMBNAIL, content(number, length), NOW)
            assert cache.get(key(number), THUMBNAIL, NOW) == content(number, length)
            written += length
            largest = max(largest, size(directory))
    assert limit / 2 < largest <= limit


def test_the_least_recently_used_goes_first(cache: Thumbnails) -> None:
    for number in range(100):
        cache.put(key(number), THUMBNAIL, content(number), NOW)
    for number in range(10):
        assert cache.get(key(number), THUMBNAIL, later(2)) is not None
    for number in range(100, 200):
        cache.put(key(number), THUMBNAIL, content(number), later(1))
    kept = {number for number in range(200) if cache.get(key(number), THUMBNAIL, later(3))}
    assert kept >= {*range(10), *range(150, 200)}
    assert not kept & set(range(10, 60))


def test_a_clock_that_was_wrong_keeps_nothing_for_ever(cache: Thumbnails) -> None:
    cache.put(A, THUMBNAIL, ONE, UnixTime(NOW * 2))
    assert cache.get(A, THUMBNAIL, NOW) == ONE
    for number in range(200):
        cache.put(key(number), THUMBNAIL, content(number), later(1))
    assert cache.get(A, THUMBNAIL, NOW) is None


def test_reading_seldom_writes(directory: Path, cache: Thumbnails) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    cache.close()
    path = directory / "thumbnails.db"
    before = path.read_bytes()
    for _ in range(100):
        assert cache.get(A, THUMBNAIL, NOW) == ONE
    assert (directory / "thumbnails.db-wal").stat().st_size == 0
    cache.close()
    assert path.read_bytes() == before


def test_a_picture_that_is_too_large_is_not_kept(cache: Thumbnails) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    cache.put(B, PREVIEW, bytes(LIMIT // 4), NOW)
    assert cache.get(B, PREVIEW, NOW) is None
    assert cache.get(A, THUMBNAIL, NOW) == ONE


def test_a_lower_limit_is_kept_to(directory: Path, cache: Thumbnails) -> None:
    for number in range(120):
        cache.put(key(number), THUMBNAIL, content(number), NOW)
    cache.close()
    with closing(Thumbnails(directory, LIMIT // 2)) as smaller:
        smaller.put(A, THUMBNAIL, ONE, NOW)
        assert smaller.get(A, THUMBNAIL, NOW) == ONE
        assert size(directory) < LIMIT // 2


# What befalls it


@pytest.mark.parametrize("names", ["thumbnails.db", "thumbnails.db*", ""])
def test_it_may_be_deleted_while_it_is_open(
    directory: Path, cache: Thumbnails, names: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    with closing(Thumbnails(directory, LIMIT)) as other:
        assert other.get(A, THUMBNAIL, NOW) == ONE
        if names:
            for each in directory.glob(names):
                each.unlink()
        else:
            shutil.rmtree(directory)
        assert cache.get(A, THUMBNAIL, NOW) is None
        cache.put(B, THUMBNAIL, TWO, NOW)
        assert other.get(B, THUMBNAIL, NOW) == TWO
        other.put(C, THUMBNAIL, ONE, NOW)
        assert cache.get(C, THUMBNAIL, NOW) == ONE
    assert not warnings(caplog)


def test_damage_anywhere_never_gives_a_wrong_picture(
    tmp_path: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = random.Random(5)  # noqa: S311
    with closing(Thumbnails(directory, LIMIT)) as cache:
        for number in range(40):
            cache.put(key(number), THUMBNAIL, content(number, 9000), NOW)
    whole = (directory / "thumbnails.db").read_bytes()
    wrong = kept = 0
    for trial in range(150):
        place = tmp_path / f"trial{trial}"
        place.mkdir()
        damaged = bytearray(whole)
        for _ in range(generator.choice([1, 10, 1000])):
            most = generator.choice([100, 8192, len(damaged)])
            damaged[generator.randrange(most)] = generator.randrange(256)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(damaged)) :]
        (place / "thumbnails.db").write_bytes(damaged)
        caplog.clear()
        with closing(Thumbnails(place, LIMIT)) as cache:
            for number in range(40):
                found = cache.get(key(number), THUMBNAIL, later(2))
                wrong += found not in (None, content(number, 9000))
            for number in range(40, 60):
                cache.put(key(number), THUMBNAIL, content(number, 9000), later(3))
            kept += cache.get(key(59), THUMBNAIL, later(3)) == content(59, 9000)
        assert len(warnings(caplog)) <= 2
        shutil.rmtree(place)
    assert not wrong
    assert kept > 140  # a header that makes it read-only is not told from a disk that is


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()


@pytest.mark.parametrize("befall", [garbage, other_program])
def test_what_may_be_anothers_is_moved_aside_whole(
    directory: Path,
    cache: Thumbnails,
    befall: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    cache.close()
    befall(cache.path)
    before = cache.path.read_bytes()
    cache.put(B, THUMBNAIL, TWO, NOW)
    assert cache.get(A, THUMBNAIL, NOW) is None
    assert cache.get(B, THUMBNAIL, NOW) == TWO
    (aside,) = directory.glob("*.foreign-*")
    assert aside.read_bytes() == before
    assert len(warnings(caplog)) == 1
    assert aside.name in warnings(caplog)[0]


def torn(path: Path) -> None:
    """The header stays, the tables do not."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("befall", [torn, newer])
def test_a_damaged_or_newer_file_makes_room_for_a_new_one(
    directory: Path,
    cache: Thumbnails,
    befall: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    cache.close()
    befall(cache.path)
    cache.put(B, THUMBNAIL, TWO, NOW)
    assert cache.get(A, THUMBNAIL, NOW) is None
    assert cache.get(B, THUMBNAIL, NOW) == TWO
    assert len(list(directory.iterdir())) == 3
    assert len(warnings(caplog)) == 1
    assert "begins anew" in warnings(caplog)[0]


def test_a_full_disk_is_told_once_and_what_is_kept_is_still_given(
    cache: Thumbnails, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(A, THUMBNAIL, ONE, NOW)
    connection = cache._opened()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    # What SQLite says of it is the same as of a full disk.
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(3):
        cache.put(key(number), THUMBNAIL, ONE * 10, UnixTime(NOW + number * (REST_SECONDS + 1)))
        assert cache.get(A, THUMBNAIL, NOW) == ONE
    assert len(warnings(caplog)) == 1
    assert "full" in warnings(caplog)[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    cache.put(B, THUMBNAIL, TWO, later(1))
    assert cache.get(B, THUMBNAIL, later(1)) == TWO


def test_where_nothing_can_be_made_there_is_no_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with closing(Thumbnails(tmp_path / "file" / "cache", LIMIT)) as cache:
        for hours in range(3):
            cache.put(A, THUMBNAIL, ONE, later(hours))
            assert cache.get(A, THUMBNAIL, later(hours)) is None
    assert len(warnings(caplog)) == 1


def test_another_process_that_writes_for_long_delays_nobody(
    cache: Thumbnails, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_BUSY_SECONDS", 0.01)
    cache.put(A, THUMBNAIL, ONE, NOW)
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        cache.put(B, THUMBNAIL, ONE, NOW)
        assert cache.get(A, THUMBNAIL, later(5)) == ONE
        other.execute("ROLLBACK")
    assert len(warnings(caplog)) == 1
    cache.put(B, THUMBNAIL, ONE, UnixTime(NOW + 1))
    assert cache.get(B, THUMBNAIL, NOW) is None  # it rests
    cache.put(B, THUMBNAIL, ONE, UnixTime(NOW + REST_SECONDS))
    assert cache.get(B, THUMBNAIL, NOW) == ONE


def test_threads_share_it(directory: Path, cache: Thumbnails) -> None:
    def use(number: int) -> bool:
        cache.put(key(number), THUMBNAIL, content(number), NOW)
        return cache.get(key(number), THUMBNAIL, NOW) == content(number)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(400)))
    assert size(directory) <= LIMIT


WRITER = """
import random, sys
from pathlib import Path
from photoramd.clock import unix_time
from photoramd.database.thumbnails import Thumbnails
from photoramd.images.renditions import THUMBNAIL
seed = int(sys.argv[2])
cache = Thumbnails(Path(sys.argv[1]), 4_000_000)
good = bad = 0
for number in range(400):
    picked = random.Random(seed * 1000 + number).randrange(300)
    content = random.Random(picked).randbytes(21_000)
    found = cache.get(picked.to_bytes(16, "big"), THUMBNAIL, unix_time())
    good += found == content
    bad += found not in (None, content)
    if found is None:
        cache.put(picked.to_bytes(16, "big"), THUMBNAIL, content, unix_time())
print(good, bad)
"""


def test_processes_share_it(directory: Path) -> None:
    commands = [
        [sys.executable, "-c", WRITER, os.fspath(directory), str(seed)] for seed in range(3)
    ]
    running = [
        subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for each in commands
    ]
    for each in running:
        out, err = each.communicate(timeout=120)
        good, bad = map(int, out.split())
        assert good > 20
        assert bad == 0
        assert not err  # no warning, either
    assert 0 < size(directory) <= LIMIT


# Keys


def test_pictures_of_another_shape_are_others() -> None:
    digest = bytes(16)
    assert key_of_picture(digest, 300, 200) != key_of_picture(digest, 200, 300)
    assert key_of_picture(digest, 300, 200) == key_of_picture(digest, 300, 200)


def test_a_file_that_changed_is_another() -> None:
    one = Fingerprint(1, -2, 3, 2**64 - 1)
    assert key_of_file(one) == key_of_file(Fingerprint(1, -2, 3, 2**64 - 1, 99))
    assert key_of_file(one) != key_of_file(Fingerprint(1, -1, 3, 2**64 - 1))
