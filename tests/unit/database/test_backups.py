"""Real databases, really damaged."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.daemon import backup
from photoramd.daemon.backup import DailyBackup
from photoramd.database import backups
from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.prune import prune
from photoramd.database.queue import Queue
from photoramd.errors import DamagedError, LockedError, StoreError
from photoramd.photo import Fingerprint, Photo
from tests.support.daemons import Photoramd

Put = Callable[[str, str], Path]


def fill(path: Path, photos: int = 500) -> None:
    with Database(path) as database:
        Queue(database).enqueue(
            [Photo(Path(f"/album/{n}.jpg"), Fingerprint(1, n, 1, n)) for n in range(photos)], 1
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photoramd.db"
    fill(path)
    return path


def count(path: Path) -> int:
    with Database(path) as database:
        return Queue(database).waiting()


def garbage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(100))  # noqa: S311


def random_page(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(random.Random(page).randbytes(4096))  # noqa: S311


def zero_length(path: Path) -> None:
    os.truncate(path, 0)


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = [garbage_header, random_page, zero_length, half]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_gives_way_to_its_last_copy(
    damage: Callable[[Path], None], path: Path
) -> None:
    backups.copy(path, path.with_name(f"{path.name}.backup-20260101-000000"))
    # Newer, but not whole: it is passed over.
    path.with_name(f"{path.name}.backup-20260102-000000").write_bytes(b"x" * 5000)
    damage(path)
    content = path.read_bytes()
    path.with_name(f"{path.name}-wal").write_bytes(b"an old log")
    with Database(path, recover=backups.recover) as database:
        assert Queue(database).waiting() == 500
    (aside,) = [p for p in path.parent.glob("*.damaged-*") if not p.name.endswith("-wal")]
    assert aside.read_bytes() == content


@pytest.mark.parametrize("damage", [random_page, half])
def test_a_damaged_database_without_a_copy_gives_way_to_a_new_one(
    damage: Callable[[Path], None], path: Path
) -> None:
    damage(path)
    content = path.read_bytes()
    with Database(path, recover=backups.recover) as database:
        assert Queue(database).waiting() == 0
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == content


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    diary, foreign = tmp_path / "diary.db", tmp_path / "foreign.db"
    diary.write_text("my diary " * 1000)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    for path in (diary, foreign):
        before = path.read_bytes()
        with pytest.raises(DamagedError), Database(path, recover=backups.recover):
            pass
        assert path.read_bytes() == before


def test_a_copy_is_made_while_another_connection_writes(path: Path, tmp_path: Path) -> None:
    with Database(path) as database:
        queue, stop = Queue(database), threading.Event()
        copied: list[Path] = []

        def copy() -> None:
            for n in range(5):
                target = tmp_path / f"copy{n}"
                backups.copy(path, target)
                copied.append(target)
            stop.set()

        thread = threading.Thread(target=copy)
        thread.start()
        number = 1000
        while not stop.is_set():
            number += 1
            queue.enqueue(
                [Photo(Path(f"/album/{number}.jpg"), Fingerprint(1, number, 1, number))], 1
            )
        thread.join()
    assert len(copied) == 5
    assert all(backups.check(target) == [] for target in copied)
    assert all(count(target) >= 500 for target in copied)


def test_a_daily_copy_is_made_once_a_day_and_old_ones_go(path: Path) -> None:
    for day in range(5):
        shutil.copyfile(path, path.with_name(f"{path.name}.backup-2020010{day}-000000"))
        os.utime(path.with_name(f"{path.name}.backup-2020010{day}-000000"), (day, day))
    daily = DailyBackup(path, keep=3)
    wall = time.time()
    daily.step(0, wall)
    daily.close()
    assert len(backups.copies(path)) == 5
    daily.step(backup.FIRST_SECONDS, wall)
    daily.step(backup.FIRST_SECONDS, wall)
    daily.close()
    assert len(backups.copies(path)) == 3
    assert backups.is_sound(backups.copies(path)[0])
    # A restart soon after makes no other.
    again = DailyBackup(path, keep=3)
    again.step(0, wall)
    again.step(backup.FIRST_SECONDS, wall)
    again.close()
    assert backups.copies(path)[1].name.endswith("20200104-000000")


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def test_the_commands_check_copy_and_restore(photoramd: Photoramd, tmp_path: Path) -> None:
    photoramd.database.parent.mkdir()
    fill(photoramd.database)
    copy = tmp_path / "copy"
    assert photoramd.run("db", "backup", copy).returncode == 0
    assert photoramd.run("db", "check").stdout.endswith("sound\n")
    random_page(photoramd.database)
    done = photoramd.run("db", "check")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    # What is damaged is not put in the place of anything.
    assert photoramd.run("db", "restore", photoramd.database).returncode == 4
    assert photoramd.run("db", "restore", copy).returncode == 0
    assert count(photoramd.database) == 500
    with Database(photoramd.database), pytest.raises(LockedError):
        backups.restore(copy, photoramd.database)


def test_a_copy_replaces_an_older_one_and_nothing_else(
    photoramd: Photoramd, tmp_path: Path, put: Put
) -> None:
    photoramd.database.parent.mkdir()
    fill(photoramd.database)
    for name in ("copy", "empty"):
        (tmp_path / name).touch()
        for _ in range(2):
            done = photoramd.run("db", "backup", tmp_path / name)
            assert done.returncode == 0, done.stderr
    assert backups.check(tmp_path / "copy") == []
    photo = put("china", "a.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(photoramd.database)
    others = [photo, tmp_path / "pipe", tmp_path / "link", photoramd.database]

    def looks() -> list[Fingerprint]:
        return [Fingerprint.of(other.lstat()) for other in others]

    before = looks()
    for other in others:
        done = photoramd.run("db", "backup", other)
        assert done.returncode == 4
        assert "another name" in done.stderr
    assert looks() == before


def test_a_restore_that_fails_leaves_the_database_where_it_is(path: Path) -> None:
    copy = path.with_name(f"{path.name}.backup-20260101-000000")
    backups.copy(path, copy)
    with pytest.raises(StoreError, match="the database itself"):
        backups.restore(path, path)
    # No room for the copy: the name of the part is taken.
    path.with_name(f"{path.name}.photoramd-part").mkdir()
    with pytest.raises(StoreError):
        backups.restore(copy, path)
    with pytest.raises(StoreError):
        backups.recover(path, DamagedError("damaged", is_ours=True, path=path))
    assert count(path) == 500


def test_what_was_set_aside_comes_back_with_its_log(path: Path) -> None:
    copy = path.with_name("copy")
    backups.copy(path, copy)
    # A process that is killed leaves the last changes in the log.
    files = [path, path.with_name(f"{path.name}-wal")]
    with Database(path) as database:
        Queue(database).enqueue([Photo(Path("/album/new.jpg"), Fingerprint(1, 1, 1, 1))], 1)
        contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    aside = backups.restore(copy, path)
    assert aside is not None
    backups.restore(aside, path)
    assert count(path) == 501


def test_a_copy_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        backups.restore(path.with_name("nowhere"), path)


def test_only_photos_that_are_missing_for_long_enough_are_forgotten(path: Path) -> None:
    with Database(path) as database:
        photos = Photos(database)
        ids = [row.id for row in photos.listing("/album").values()]
        for _ in range(2):
            photos.missed(ids[:10], 1000)
            photos.missed(ids[10:20], 9000)
        photos.missed(ids[20:], 1000)  # once is not missing
        # The database may be in use.
        assert prune(path, 5000) == 10
        assert len(photos.listing("/album")) == 490
        assert prune(path, 5000) == 0
        assert database.rows("PRAGMA foreign_key_check") == []
