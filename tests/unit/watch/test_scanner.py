from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.database.connection import Database
from photoramd.database.photos import Store
from photoramd.watch.filters import Filter
from photoramd.watch.scanner import Scan
from tests.support.files import photo_at

Put = Callable[[str, str], Path]


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def scan(store: Store, album: Path, top: Path | None = None) -> tuple[Scan, list[Path]]:
    walk = Scan(os.fspath(top or album), Filter(album), store)
    return walk, sorted(photo.path for photos in walk for photo in photos)


def know(store: Store, *paths: Path) -> None:
    store.enqueue([photo_at(path) for path in paths], 1)


def test_new_photos_are_found_at_any_depth_and_other_files_are_not(
    store: Store, album: Path, put: Put
) -> None:
    photos = [put("china", "a.jpg"), put("flower", "2024/05/B.JPEG")]
    (album / "notes.txt").write_text("no photo")
    (album / "a.jpg.xmp").write_text("a sidecar")
    walk, found = scan(store, album)
    assert found == sorted(photos)
    assert walk.present == 2
    assert walk.absent == {}


def test_what_the_database_knows_is_not_reported_again(store: Store, album: Path, put: Put) -> None:
    known, touched = put("china", "a.jpg"), put("flower", "b.jpg")
    know(store, known, touched)
    os.utime(touched, ns=(1, 1))
    assert scan(store, album)[1] == [touched]


def test_a_vanished_photo_is_absent_and_so_is_a_vanished_directory(
    store: Store, album: Path, put: Put
) -> None:
    gone, deep = put("china", "a.jpg"), put("china", "sub/deep/b.jpg")
    put("flower", "stays.jpg")
    know(store, gone, deep, album / "stays.jpg")
    gone.unlink()
    shutil.rmtree(album / "sub")
    walk, found = scan(store, album)
    assert found == []
    assert len(walk.gone()) == 2
    store.missed(walk.gone(), 1000)
    store.missed(walk.gone(), 1000)
    assert scan(store, album)[0].absent == {}  # missing photos are not expected any more


def test_a_directory_that_cannot_be_read_is_unknown_not_gone(
    store: Store, album: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(store, put("china", "locked/a.jpg"), put("china", "locked/sub/b.jpg"))
    # Root may read everything, so the kernel's answer is made here.
    real = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walk, _ = scan(store, album)
    assert walk.unreadable == {os.fspath(album / "locked"): "Permission denied"}
    assert walk.absent == {}


def test_a_photo_that_is_back_is_no_longer_missed(store: Store, album: Path, put: Put) -> None:
    photo = put("china", "a.jpg")
    know(store, photo)
    row = store.find(os.fspath(photo))
    assert row is not None
    store.missed([row.id], 1000)
    assert scan(store, album)[1] == []
    row = store.find(os.fspath(photo))
    assert row is not None
    assert row.missed_scans == 0


def test_links_pipes_and_sockets_are_no_photos_and_loops_end(
    store: Store, album: Path, put: Put
) -> None:
    photo = put("china", "a.jpg")
    (album / "link.jpg").symlink_to(photo)
    (album / "loop").symlink_to(album)
    os.mkfifo(album / "pipe.jpg")
    (album / "directory.jpg").mkdir()
    assert scan(store, album)[1] == [photo]


def test_ignored_directories_are_not_entered(store: Store, album: Path, put: Put) -> None:
    for name in ("@eaDir/a.jpg", ".hidden/a.jpg", "#recycle/a.jpg", "x.lrdata/a.jpg"):
        put("china", name)
    assert scan(store, album)[1] == []


def test_odd_names_are_found(store: Store, album: Path, put: Put) -> None:
    for name in ("-rf.jpg", " a b .jpg", "new\nline.jpg", os.fsdecode(b"\xff\xfe.jpg"), "ü.jpg"):
        put("china", name)
    _, found = scan(store, album)
    assert len(found) == 5
    know(store, *found)
    assert scan(store, album)[1] == []


def test_a_part_of_a_tree_can_be_scanned(store: Store, album: Path, put: Put) -> None:
    put("china", "a/a.jpg")
    below = put("china", "b/c/b.jpg")
    walk, found = scan(store, album, album / "b")
    assert found == [below]
    assert walk.absent == {}


def test_leftover_temporaries_are_noted(store: Store, album: Path, put: Put) -> None:
    put("china", "a.jpg")
    (album / ".photoramd-0123.tmp").write_bytes(b"half a sidecar")
    walk, _ = scan(store, album)
    assert walk.leftovers == [album / ".photoramd-0123.tmp"]


def test_a_photo_whose_device_number_alone_changed_is_the_same_on_a_disk_mounted_anew(
    store: Store, database: Database, album: Path, put: Put
) -> None:
    stays, removed = put("china", "a.jpg"), put("flower", "b.jpg")
    know(store, stays, removed)
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242")
    removed.unlink()
    walk, found = scan(store, album)
    assert found == []
    assert walk.moved_wholly() == {424242: stays.stat().st_dev}
    assert walk.moved_partly() == {}
    assert len(walk.gone()) == 1
    store.move_devices(os.fspath(album), walk.moved_wholly(), walk.moved_partly())
    row = store.find(os.fspath(stays))
    assert row is not None
    assert row.fingerprint.device == stays.stat().st_dev


def test_photos_that_vanish_with_their_file_system_are_not_gone(
    store: Store, database: Database, album: Path, put: Put
) -> None:
    inside = put("china", "mounted/a.jpg")
    know(store, inside, put("flower", "b.jpg"))
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242 WHERE name = ?", (b"a.jpg",))
    inside.unlink()
    walk, _ = scan(store, album)
    assert walk.gone() == []
    assert walk.unmounted() == 1


def test_photos_on_another_file_system_than_is_in_their_place_now_are_not_gone(
    store: Store, database: Database, album: Path, put: Put
) -> None:
    # The number that the disk had is that of another one now, elsewhere in the tree.
    hidden, other = put("china", "mounted/a.jpg"), put("flower", "other/b.jpg")
    know(store, hidden, other)
    with database.transaction() as db:
        db.execute("UPDATE photos SET device = 424242 WHERE name = ?", (b"a.jpg",))
    hidden.unlink()
    walk, _ = scan(store, album)
    walk.devices[424242] = set()
    assert walk.gone() == []
    assert walk.unmounted() == 1


def test_numbers_that_file_systems_exchange_are_exchanged(
    store: Store, database: Database, album: Path, put: Put
) -> None:
    photos = [put("china", "a/1.jpg"), put("flower", "b/2.jpg"), put("flower", "c/3.jpg")]
    know(store, *photos)
    with database.transaction() as db:
        db.executemany("UPDATE photos SET device = ? WHERE id = ?", [(1, 1), (2, 2), (3, 3)])
    a, b, _ = (os.fspath(photo.parent) for photo in photos)
    store.move_devices(os.fspath(album), {3: 4}, {a: {1: 2, 2: 1}, b: {1: 2, 2: 1}})
    rows = database.rows("SELECT device FROM photos ORDER BY id")
    assert rows == [(2,), (1,), (4,)]


def test_a_link_to_a_directory_is_not_followed_though_it_is_asked_for(
    store: Store, album: Path, put: Put
) -> None:
    put("china", "../outside/a.jpg")
    (album / "link").symlink_to(album.parent / "outside")
    walk, found = scan(store, album, album / "link")
    assert found == []
    assert walk.directories == {}
