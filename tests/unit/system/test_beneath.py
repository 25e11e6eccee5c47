"""No link is followed in any part of a path, with openat2 and without it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from photoramd.system import beneath
from photoramd.system.beneath import Directory


@pytest.fixture(params=["openat2", "level by level", "refused by a filter"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    codes = {"level by level": errno.ENOSYS, "refused by a filter": errno.EPERM}
    if request.param in codes:

        def refuse(path: beneath.StrPath, _: int) -> int:
            raise OSError(codes[request.param], "refused", os.fspath(path))

        monkeypatch.setattr(beneath, "_openat2", refuse)
    monkeypatch.setattr(beneath, "_has_openat2", True)
    yield
    assert beneath._has_openat2 == (request.param == "openat2")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path.resolve()
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("content")
    (top / "a" / "link").symlink_to("b")
    (top / "a" / "b" / "link").symlink_to("file")
    return top


@pytest.mark.usefixtures("_way")
def test_files_are_opened_by_paths_without_links_alone(tree: Path) -> None:
    fd = beneath.open_read(tree / "a" / "b" / "file")
    assert os.read(fd, 100) == b"content"
    assert not os.get_inheritable(fd)
    os.close(fd)
    for path, number in (
        ("a/link/file", errno.ELOOP),
        ("a/b/link", errno.ELOOP),
        ("a/b/none", errno.ENOENT),
        ("none/b/file", errno.ENOENT),
        ("a/b/file/x", errno.ENOTDIR),
    ):
        with pytest.raises(OSError, match=r".+") as caught:
            beneath.open_read(tree / path)
        assert caught.value.errno == number, path


@pytest.mark.usefixtures("_way")
def test_a_link_is_looked_at_itself_and_nothing_is_there_behind_one(tree: Path) -> None:
    assert beneath.exists(tree / "a" / "link")
    assert beneath.exists(tree / "a" / "b" / "file")
    assert not beneath.exists(tree / "a" / "link" / "file")
    assert beneath.fingerprint(tree / "a" / "b" / "file") is not None
    assert beneath.fingerprint(tree / "a" / "b" / "link") is None
    assert beneath.fingerprint(tree / "a" / "b") is None
    assert beneath.fingerprint(tree / "a" / "\0") is None
    assert beneath.look("/").st_ino == Path("/").stat().st_ino


@pytest.mark.usefixtures("_way")
def test_no_descriptor_stays_open(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/b/file", "a/link/file", "none/x"):
        beneath.exists(tree / path)
    with Directory(tree / "a") as directory:
        directory.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("_way")
def test_a_directory_knows_whether_it_is_still_in_its_place(tree: Path) -> None:
    with Directory(tree / "a" / "b") as directory:
        assert directory.is_in_its_place()
        (tree / "a" / "b").rename(tree / "a" / "c")
        assert not directory.is_in_its_place()
        (tree / "a" / "b").symlink_to("c")
        assert not directory.is_in_its_place()
        (tree / "a" / "b").unlink()
        (tree / "a" / "b").mkdir()
        assert not directory.is_in_its_place()
        # Its files are reached all the same.
        assert directory.look("file") is not None
        assert sorted(directory.names()) == ["file", "link"]
    for link in ("link", "b/file"):
        with pytest.raises(OSError, match=r".+"):
            Directory(tree / "a" / link)


def test_a_confined_process_opens_what_it_was_given_alone(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "a" / "b" / "file"
    given = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(beneath, "_allowed", None)
    beneath.allow_only({"/named": given})
    for _ in range(2):  # from its beginning each time
        fd = beneath.open_read("/named")
        assert os.read(fd, 100) == b"content"
        os.close(fd)
    with pytest.raises(FileNotFoundError):
        beneath.open_read(path)
    os.close(given)
