from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.watch.filters import Filter
from photoramd.watch.scanner import Scan
from tests.support.files import photo_at

Put = Callable[[str, str], Path]


@pytest.fixture
def rows(database: Database) -> Photos:
    return Photos(database)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


def scan(rows: Photos, album: Path, top: Path | None = None) -> tuple[Scan, list[Path]]:
    walk = Scan(os.fspath(top or album), Filter(album), rows)
    return walk, sorted(photo.path for photos in walk for photo in photos)


def know(queue: Queue, *paths: Path) -> None:
    queue.enqueue([photo_at(path) for path in paths], 1)


def test_new_photos_are_found_at_any_depth_and_other_files_are_not(
    rows: Photos, album: Path, put: Put
) -> None:
    photos = [put("china", "a.jpg"), put("flower", "2024/05/B.JPEG")]
    (album / "notes.txt").write_text("no photo")
    (album / "a.jpg.xmp").write_text("a sidecar")
    walk, found = scan(rows, album)
    assert found == sorted(photos)
    assert walk.present == 2
    assert walk.absent == {}


def test_what_the_database_knows_is_not_reported_again(
    rows: Photos, queue: Queue, album: Path, put: Put
) -> None:
    known, touched = put("china", "a.jpg"), put("flower", "b.jpg")
    know(queue, known, touched)
    os.utime(touched, ns=(1, 1))
    assert scan(rows, album)[1] == [touched]


def test_a_vanished_photo_is_absent_and_so_is_a_vanished_directory(
    rows: Photos, queue: Queue, album: Path, put: Put
) -> None:
    gone, deep = put("china", "a.jpg"), put("china", "sub/deep/b.jpg")
    put("flower", "stays.jpg")
    know(queue, gone, deep, album / "stays.jpg")
    gone.unlink()
    shutil.rmtree(album / "sub")
    walk, found = scan(rows, album)
    assert found == []
    assert len(walk.gone()) == 2
    rows.missed(walk.gone(), 1000)
    rows.missed(walk.gone(), 1000)
    assert scan(rows, album)[0].absent == {}  # missing photos are not expected any more


def test_a_directory_that_cannot_be_read_is_unknown_not_gone(
    rows: Photos, queue: Queue, album: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(queue, put("china", "locked/a.jpg"), put("china", "locked/sub/b.jpg"))
    # Root may read everything, so the kernel's answer is made here.
    real = os.scandir

    def refuse(directory: int) -> object:
        if os.readlink(f"/proc/self/fd/{directory}").endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(directory)

    monkeypatch.setattr(os, "scandir", refuse)
    walk, _ = scan(rows, album)
    assert walk.unreadable == {os.fspath(album / "locked"): "Permission denied"}
    assert walk.absent == {}


def test_a_photo_that_is_back_is_no_longer_missed(
    rows: Photos, queue: Queue, album: Path, put: Put
) -> None:
    photo = put("china", "a.jpg")
    know(queue, photo)
    row = rows.find(os.fspath(photo))
    assert row is not None
    rows.missed([row.id], 1000)
    assert scan(rows, album)[1] == []
    row = rows.find(os.fspath(photo))
    assert row is not None
    assert row.missed_scans == 0


def test_links_pipes_and_sockets_are_no_photos_and_loops_end(
    rows: Photos, album: Path, put: Put
) -> None:
    photo = put("china", "a.jpg")
    (album / "link.jpg").symlink_to(photo)
    (album / "loop").symlink_to(album)
    os.mkfifo(album / "pipe.jpg")
    (album / "directory.jpg").mkdir()
    assert scan(rows, album)[1] == [photo]


def test_ignored_directories_are_not_entered(rows: Photos, album: Path, put: Put) -> None:
    for name in ("@eaDir/a.jpg", ".hidden/a.jpg", "#recycle/a.jpg", "x.lrdata/a.jpg"):
        put("china", name)
    assert scan(rows, album)[1] == []


def test_odd_names_are_found(rows: Photos, queue: Queue, album: Path, put: Put) -> None:
    for name in ("-rf.jpg", " a b .jpg", "new\nline.jpg", os.fsdecode(b"\xff\xfe.jpg"), "ü.jpg"):
        put("china", name)
    _, found = scan(rows, album)
    assert len(found) == 5
    know(queue, *found)
    assert scan(rows, album)[1] == []


def test_a_part_of_a_tree_can_be_scanned(rows: Photos, album: Path, put: Put) -> None:
    put("china", "a/a.jpg")
    below = put("china", "b/c/b.jpg")
    walk, found = scan(rows, album, album / "b")
    assert found == [below]
    assert walk.absent == {}


def test_leftover_temporaries_are_noted(rows: Photos, album: Path, put: Put) -> None:
    put("china", "a.jpg")
    (album / ".photoramd-0123.tmp").write_bytes(b"half a sidecar")
    walk, _ = scan(rows, album)
    assert walk.leftovers == [album / ".photoramd-0123.tmp"]


def test_a_photo_whose_device_number_alone_changed_is_the_same_on_a_disk_mounted_anew(
    rows: Photos, queue: Queue, database: Database, album: Path, put: Put
) -> None:
    stays, removed = put("china", "a.jpg"), put("flower", "b.jpg")
    know(queue, stays, removed)
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242")
    removed.unlink()
    walk, found = scan(rows, album)
    assert found == []
    assert walk.moved_wholly() == {424242: stays.stat().st_dev}
    assert walk.moved_partly() == {}
    assert len(walk.gone()) == 1
    rows.move_devices(os.fspath(album), walk.moved_wholly(), walk.moved_partly())
    row = rows.find(os.fspath(stays))
    assert row is not None
    assert row.fingerprint.device == stays.stat().st_dev


def test_photos_that_vanish_with_their_file_system_are_not_gone(
    rows: Photos, queue: Queue, database: Database, album: Path, put: Put
) -> None:
    inside = put("china", "mounted/a.jpg")
    know(queue, inside, put("flower", "b.jpg"))
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242 WHERE name = ?", (b"a.jpg",))
    inside.unlink()
    walk, _ = scan(rows, album)
    assert walk.gone() == []
    assert walk.unmounted() == 1


def test_photos_on_another_file_system_than_is_in_their_place_now_are_not_gone(
    rows: Photos, queue: Queue, database: Database, album: Path, put: Put
) -> None:
    # The number that the disk had is that of another one now, elsewhere in the tree.
    hidden, other = put("china", "mounted/a.jpg"), put("flower", "other/b.jpg")
    know(queue, hidden, other)
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242 WHERE name = ?", (b"a.jpg",))
    hidden.unlink()
    walk, _ = scan(rows, album)
    walk.devices[424242] = set()
    assert walk.gone() == []
    assert walk.unmounted() == 1


def test_numbers_that_file_systems_exchange_are_exchanged(
    rows: Photos, queue: Queue, database: Database, album: Path, put: Put
) -> None:
    photos = [put("china", "a/1.jpg"), put("flower", "b/2.jpg"), put("flower", "c/3.jpg")]
    know(queue, *photos)
    with database.transaction() as db:
        db.executemany("UPDATE photos SET device = ? WHERE id = ?", [(1, 1), (2, 2), (3, 3)])
    a, b, _ = (os.fspath(photo.parent) for photo in photos)
    rows.move_devices(os.fspath(album), {3: 4}, {a: {1: 2, 2: 1}, b: {1: 2, 2: 1}})
    rows = database.rows("SELECT device FROM photos ORDER BY id")
    assert rows == [(2,), (1,), (4,)]


def test_a_link_to_a_directory_is_not_followed_though_it_is_asked_for(
    rows: Photos, album: Path, put: Put
) -> None:
    put("china", "../outside/a.jpg")
    (album / "link").symlink_to(album.parent / "outside")
    walk, found = scan(rows, album, album / "link")
    assert found == []
    assert walk.directories == {}
