"""The command line in careless hands: empty names, closed streams, readers that are gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd
from tests.support.files import sidecar_of


@pytest.fixture
def photoramd(tmp_path: Path, album: Path, samples: dict[str, Path]) -> Iterator[Photoramd]:
    """One whose album has an untagged photo."""
    shutil.copyfile(samples["cat"], album / "cat.png")
    instance = Photoramd(tmp_path, album)
    try:
        yield instance
    finally:
        instance.close()


@pytest.fixture(scope="module")
def scanned(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Path]
) -> Iterator[Photoramd]:
    """One whose album has a tagged photo, a tag of the user's, and files like it; none changes."""
    home = tmp_path_factory.mktemp("careless").resolve()
    album = home / "album"
    album.mkdir()
    shutil.copyfile(samples["cat"], album / "cat.png")
    instance = Photoramd(home, album)
    assert instance.run("scan", "-q").returncode == 0
    assert instance.run("edit", album / "cat.png", "--add", "\u00fcn\u00ef").returncode == 0
    (album / "link").symlink_to("cat.png")
    for name in ("CAT.JPG", "copy"):
        shutil.copyfile(album / "cat.png", album / name)
    (album / "clip").write_bytes(bytes(range(256)))
    before = {path: path.read_bytes() for path in album.iterdir()}
    try:
        yield instance
        assert {path: path.read_bytes() for path in album.iterdir()} == before
    finally:
        instance.close()


def in_shell(
    photoramd: Photoramd, arguments: str, redirection: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command whose streams are as a shell makes them."""
    command = f'exec "$0" -m photoramd --config "$1" {arguments} {redirection}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, os.fspath(photoramd.config)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_photos_are_tagged_whatever_was_closed(
    photoramd: Photoramd, album: Path, closed: str
) -> None:
    done = in_shell(photoramd, "scan", closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert sidecar_of(album / "cat.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "query '*' --json", "query '*' --format csv", "query '*' --format table", "tags", "doctor",
        "tags --json", "status --json", "show cat.png --json", "undo -n . --json", "config show",
    ],
)  # fmt: skip
def test_a_command_whose_output_was_closed_does_its_work(
    scanned: Photoramd, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scanned.album)
    done = in_shell(scanned, arguments, ">&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("tags", 0), ("--help", 0), ("query --help", 0), ("--version", 0), ("quer", 2), ("show x", 1)],
)
def test_readers_that_are_gone_change_no_exit_code(
    scanned: Photoramd, arguments: str, code: int
) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "photoramd", "--config", scanned.config, *arguments.split()],
            stdout=write,
            stderr=write,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == code


@pytest.mark.parametrize(
    "arguments", ["query '*' --format csv", "query '*' --format table", "tags"]
)
def test_letters_that_the_output_does_not_take_are_escaped(
    scanned: Photoramd, arguments: str
) -> None:
    done = in_shell(scanned, arguments, "", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xfcn\\xef" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["undo", ""], ["retag", ""], ["tag", "-w", ""], ["show", ""], ["scan", ""], ["clean", ""],
        ["query", "*", "--under", ""], ["edit", "", "--add", "x"], ["tag", "cat.png", "-o", ""],
    ],
)  # fmt: skip
def test_an_empty_name_is_not_this_directory(
    scanned: Photoramd, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in scanned.album.iterdir()}
    monkeypatch.chdir(scanned.album)
    done = scanned.run(*arguments)
    assert done.returncode == 2
    assert "must not be empty" in done.stderr
    assert {path: path.read_bytes() for path in scanned.album.iterdir()} == before


@pytest.mark.parametrize("output", ["cat.png", "link", "CAT.JPG", "cat.png.xmp", "copy", "clip"])
def test_tags_are_not_written_over_photos(
    scanned: Photoramd, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in scanned.album.iterdir()}
    monkeypatch.chdir(scanned.album)
    done = scanned.run("tag", "-q", "-o", output, "cat.png")
    assert done.returncode == 2
    assert "name another --output" in done.stderr
    assert {path: path.read_bytes() for path in scanned.album.iterdir()} == before


def test_tags_replace_those_of_an_earlier_run(photoramd: Photoramd, album: Path) -> None:
    output = album / "tags.json"
    for _ in range(2):
        assert photoramd.run("tag", "-q", "-o", output, album / "cat.png").returncode == 0
    assert '"cat"' in output.read_text()


def test_retag_fails_where_all_failed(photoramd: Photoramd, album: Path) -> None:
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    assert photoramd.run("scan", "-q").returncode == 0, "the other photo was tagged"
    done = photoramd.run("retag", album / "broken.jpg")
    assert done.returncode == 4
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "cat", "--link", "links", "--count"], ["query", "cat", "--count", "-0"],
        ["query", "cat", "--link", "links", "--format", "csv"],
        ["query", "cat", "--count", "--limit", "3"], ["query", "cat", "--limit", "9" * 20],
        ["edit", "--undo", "--undo-edit", "1"], ["edit", "--undo-edit", "9" * 20],
    ],
)  # fmt: skip
def test_options_that_exclude_each_other_are_refused(
    scanned: Photoramd, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scanned.album)
    done = scanned.run(*arguments)
    assert done.returncode == 2, done.stderr
    assert not (scanned.album / "links").exists()


def test_a_slip_in_a_tag_leaves_the_links(photoramd: Photoramd, tmp_path: Path) -> None:
    assert photoramd.run("scan", "-q").returncode == 0
    links = tmp_path / "links"
    assert photoramd.run("query", "cat", "--link", links).returncode == 0
    done = photoramd.run("query", "catt", "--link", links)
    assert done.returncode == 1
    assert 'no photo is tagged "catt"' in done.stderr
    assert [path.name for path in links.iterdir() if path.is_symlink()] == ["cat.png"]


def test_nothing_is_tagged_yet(photoramd: Photoramd, album: Path) -> None:
    (album / "cat.png").unlink()
    assert photoramd.run("scan", "-q").returncode == 1
    done = photoramd.run("query", "*")
    assert done.returncode == 1
    assert "no photo is tagged yet" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["photoramd.db-wal", "photoramd.db.lock", "photoramd-similar.db", "photoramd.db-journal"],
)
def test_a_copy_replaces_no_file_of_the_database(scanned: Photoramd, name: str) -> None:
    done = scanned.run("db", "backup", scanned.database.with_name(name))
    assert done.returncode == 4
    assert "belongs to the database" in done.stderr


def test_a_copy_leaves_what_has_another_programs_name(scanned: Photoramd, tmp_path: Path) -> None:
    for name in ("copy.db.part", "copy.db.photoramd-part"):
        (tmp_path / name).write_text("mine")
    assert scanned.run("db", "backup", tmp_path / "copy.db").returncode == 4
    (tmp_path / "copy.db.photoramd-part").rename(tmp_path / "other")
    assert scanned.run("db", "backup", tmp_path / "copy.db").returncode == 0
    assert (tmp_path / "copy.db.part").read_text() == "mine"
    assert (tmp_path / "other").read_text() == "mine"


def test_a_file_that_is_no_database_is_not_said_to_be_replaced(photoramd: Photoramd) -> None:
    assert "photoramd scan makes one" in photoramd.run("db", "check").stderr
    photoramd.database.parent.mkdir(exist_ok=True)
    photoramd.database.write_text("a diary")
    done = photoramd.run("db", "check")
    assert done.returncode == 4
    assert "this one is left as it is" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["db", "prune", "--missing-for", "nan"], ["tag", "-t", "nan", "x"]]
)
def test_what_is_no_number_is_refused(scanned: Photoramd, arguments: list[str]) -> None:
    assert scanned.run(*arguments).returncode == 2
