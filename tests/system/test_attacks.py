"""Another user of a shared directory cannot steer photoramd's writes out of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from photoramd.metadata.xmp_packet import EMPTY_PACKET
from photoramd.system.beneath import Directory
from photoramd.system.renameat2 import EXCHANGE, rename
from tests.support.daemons import Photoramd, unprivileged, wait_for

Put = Callable[[str, str], Path]

RACE_SECONDS = float(os.environ.get("PHOTORAMD_RACE_SECONDS", "3"))
"""How long directories and links are swapped; a minute in a thorough run."""

Content = dict[str, tuple[int, bytes]]


def content(directory: Path) -> Content:
    """All files below a directory: their inodes and bytes."""
    return {
        os.fspath(path.relative_to(directory)): (path.stat().st_ino, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def wait_for_written(photoramd: Photoramd, photo: Path) -> None:
    wait_for(lambda: (photoramd.ask("show", photo) or {}).get("state") == "written")


def temporaries(directory: Path) -> list[Path]:
    return list(directory.rglob(".photoramd-*"))


@pytest.fixture
def outside(tmp_path: Path, put: Put) -> Path:
    """A directory beside the album, which photoramd's user may write, with photos of its own."""
    directory = tmp_path.resolve() / "outside"
    directory.mkdir()
    for name in ("pic.jpg", "new.jpg"):
        shutil.copyfile(put("cat", f"copied-{name}"), directory / name)
        (directory.parent / "album" / f"copied-{name}").unlink()
    (directory / "pic.jpg.xmp").write_bytes(EMPTY_PACKET)
    return directory


@pytest.fixture(params=["root", "nobody"])
def make(request: pytest.FixtureRequest, tmp_path: Path, album: Path) -> Callable[[str], Photoramd]:
    """Returns photoramd in a write mode, as root or as a user without rights."""

    def build(mode: str) -> Photoramd:
        prefix: list[str] = []
        if request.param == "nobody":
            prefix = unprivileged(tmp_path)
            for directory in (tmp_path, *(each for each in tmp_path.rglob("*") if each.is_dir())):
                directory.chmod(0o777)
            for path in filter(Path.is_file, tmp_path.rglob("*")):
                os.chown(path, 65534, 65534)
        return Photoramd(tmp_path, album, *prefix, watch=f'write = "{mode}"')

    return build


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
@pytest.mark.parametrize("is_good", [True, False])
def test_a_directory_that_was_replaced_by_a_link_is_not_entered(
    make: Callable[[str], Photoramd],
    put: Put,
    album: Path,
    outside: Path,
    mode: str,
    is_good: bool,
) -> None:
    photo = put("china", "sub/pic.jpg")
    if not is_good:
        photo.write_bytes(b"\xff\xd8\xff bad")
    photoramd = make(mode)
    photoramd.start()
    try:
        put("china", "beside.jpg")
        wait_for(lambda: sum(photoramd.states().values()) == 2)
        wait_for(lambda: not photoramd.states().keys() - {"written", "failed"})
        before = content(outside)
        (album / "sub").rename(album.parent / "kept")
        (album / "sub").symlink_to(outside)
        # As a retry would come, before a scan finds that something is missing.
        with closing(sqlite3.connect(photoramd.database, timeout=30)) as connection, connection:
            connection.execute(
                "UPDATE photos SET next_attempt = 0, state = iif(state = 'failed', state, 'tagged')"
            )
        for name in ("later.jpg", "last.jpg"):  # by then, what was due before them is done
            later = put("cat", name)
            os.chown(later, photoramd.database.stat().st_uid, -1)
            wait_for_written(photoramd, later)
    finally:
        photoramd.close()
    assert content(outside) == before
    assert not temporaries(album.parent)


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Exchange two names in a directory as fast as possible; yield how often that was done."""
    ended, count = threading.Event(), [0]

    def swap() -> None:
        with Directory(one.parent) as directory:
            while not ended.is_set():
                rename(one.name, other.name, EXCHANGE, directory.fd)
                count[0] += 1
            if count[0] % 2:
                rename(one.name, other.name, EXCHANGE, directory.fd)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
def test_a_directory_that_is_swapped_with_a_link_all_the_time_leads_nowhere(
    make: Callable[[str], Photoramd], put: Put, album: Path, outside: Path, mode: str
) -> None:
    inside = [put("cat", f"sub/{name}.jpg") for name in ("pic", "new", "other")]
    decoy = album / ".decoy"
    decoy.symlink_to(outside)
    photoramd = make(mode)
    before = content(outside)
    ended = threading.Event()
    timer = threading.Timer(RACE_SECONDS, ended.set)
    with swapping(album / "sub", decoy) as swaps:
        timer.start()
        while not ended.is_set():
            photoramd.run("scan")
            photoramd.run("retag", album)
            for path in inside:  # as it changes, it is looked at again
                try:
                    os.utime(path)
                except FileNotFoundError:
                    continue
    assert swaps[0] > 1000
    assert content(outside).keys() == before.keys()
    # The dates of the photos there are set above, and nothing else.
    assert content(outside) == before
    photoramd.run("retag", album)
    assert photoramd.run("scan").returncode == 0
    assert not temporaries(album.parent)
    assert content(outside) == before
