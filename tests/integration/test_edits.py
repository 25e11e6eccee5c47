"""Edits of tags by the command and the daemon, in sidecars and photos that ExifTool reads back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from photoramd.cli.answers import Edited
from photoramd.config.schema import Config
from photoramd.database.edits import edit_progress, edits_of, request_edit, request_undo
from photoramd.database.mend import mend_sets
from photoramd.database.requests import Request, submit
from photoramd.metadata import containers
from photoramd.search import queries
from photoramd.search.known_photo import photo_id
from tests.support.album import Scan, ask_again, snapshot, take_back
from tests.support.daemons import Photoramd, wait_for
from tests.support.dng import dng
from tests.support.files import OWN_SIDECAR, sidecar_of
from tests.support.xmp import provenance

Put = Callable[[str, str], Path]
Configure = Callable[..., Config]


@pytest.fixture
def read(exiftool: Callable[..., str]) -> Callable[..., list[str]]:
    """The keywords in a file, as ExifTool finds them."""

    def subjects(path: Path, tag: str = "XMP-dc:Subject") -> list[str]:
        if not path.exists():
            return []
        said = exiftool(f"-{tag}", "-s3", "-sep", "##", path).strip()
        return said.split("##") if said else []

    return subjects


class Edits:
    """Edits of one album by the functions that the gallery uses, carried out by scans."""

    def __init__(self, scan: Scan, config: Config) -> None:
        self._scan = scan
        self.config = config
        self.database = config.state.path

    def ids(self, *photos: Path) -> list[int]:
        with closing(queries.open_readonly(self.database)) as connection:
            found = [photo_id(connection, photo) for photo in photos]
        return [number for number in found if number is not None]

    def edit(self, *photos: Path, **tags: Any) -> int:
        edit = request_edit(self.database, self.ids(*photos), **tags)
        self._scan(self.config)
        return edit

    def undo(self, edit: int) -> None:
        request_undo(self.database, edit)
        self._scan(self.config)

    def left(self, *photos: Path) -> list[str]:
        with closing(queries.open_readonly(self.database)) as connection:
            return [f"{e.kind} {e.tag} {e.state}" for e in edits_of(connection, self.ids(*photos))]

    def done(self, edit: int) -> int:
        with closing(queries.open_readonly(self.database)) as connection:
            return edit_progress(connection, edit).done

    def found(self, query: str) -> list[str]:
        with closing(queries.open_readonly(self.database)) as connection:
            return [each.path.name for each in queries.find(connection, queries.parse(query))]


@pytest.fixture
def edits(scan: Scan, configure: Configure) -> Callable[..., Edits]:
    def make(**changes: Any) -> Edits:
        config = configure(**changes)
        scan(config)
        return Edits(scan, config)

    return make


def holder_of(photo: Path, write: str) -> Path:
    """The file that has the keywords."""
    return photo if write == "embed" else sidecar_of(photo)


@pytest.mark.parametrize("write", ["sidecar", "embed"])
def test_edits_reach_the_file_and_their_undo_restores_it(
    write: str, edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]],
    samples: dict[str, Path],
) -> None:  # fmt: skip
    photo = put("china", "a.jpg")
    album_edits = edits(write=write)
    file = holder_of(photo, write)
    machine = read(file)
    assert {"building", "outdoors"} <= set(machine)
    added = album_edits.edit(photo, add=["Ferien", "Größe"])
    assert read(file) == [*machine, "Ferien", "Größe"]
    rejected = album_edits.edit(photo, reject=["Building"])
    assert read(file) == [*(word for word in machine if word != "building"), "Ferien", "Größe"]
    # They are the user's words: no provenance names them.
    assert "building" not in _named(file, write)
    assert "Ferien" not in _named(file, write)
    assert album_edits.left(photo) == []
    assert (album_edits.done(added), album_edits.done(rejected)) == (2, 1)
    assert album_edits.found("user:ferien") == ["a.jpg"]
    assert album_edits.found("building") == []
    # Tagged anew, both hold.
    ask_again(album_edits.config, photo)
    album_edits._scan(album_edits.config)
    assert "building" not in read(file)
    assert "Ferien" in read(file)
    album_edits.undo(rejected)
    assert set(read(file)) == {*machine, "Ferien", "Größe"}
    album_edits.undo(added)
    assert set(read(file)) == set(machine)
    assert album_edits.found("ferien") == []
    assert album_edits.found("auto:building") == ["a.jpg"]
    assert mend_sets(album_edits.database) == 0
    # And photoramd's own undo gives back the photo as it was.
    take_back(album_edits.config, photo)
    assert not sidecar_of(photo).exists()
    if write == "embed":
        assert photo.read_bytes() == samples["china"].read_bytes()


def _named(file: Path, write: str) -> list[str]:
    data = file.read_bytes()
    packet = containers.layout(data, "JPEG").packets[0] if write == "embed" else data
    return [each.tag for each in provenance(packet)]


@pytest.mark.parametrize("write", ["sidecar", "embed"])
def test_undo_of_the_machines_tags_leaves_what_the_user_added(
    write: str, edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]],
    samples: dict[str, Path],
) -> None:  # fmt: skip
    photo = put("china", "a.jpg")
    album_edits = edits(write=write)
    file = holder_of(photo, write)
    added = album_edits.edit(photo, add=["Ferien", "building"])
    (outcome,) = take_back(album_edits.config, photo)
    assert outcome.error is None
    assert read(file) == ["building", "Ferien"]
    assert _named(file, write) == []
    assert album_edits.found("building ferien") == ["a.jpg"]
    assert album_edits.found("outdoors") == []
    # An undone photo can be edited, and gets no machine's tags by it.
    album_edits.edit(photo, add=["Oma"], reject=["outdoors"])
    assert set(read(file)) == {"building", "Ferien", "Oma"}
    album_edits.undo(added)
    assert read(file) == ["Oma"]
    # The last word of the user's goes, and with it all of ours.
    with closing(queries.open_readonly(album_edits.database)) as connection:
        details = queries.photo(connection, photo)
    assert details is not None
    assert details.rejected == ("outdoors",)
    album_edits.undo(added + 1)
    if write == "embed":
        assert photo.read_bytes() == samples["china"].read_bytes()
    assert not sidecar_of(photo).exists()


def test_undone_by_the_daemon_what_the_user_added_stays(
    edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]]
) -> None:
    photo = put("china", "a.jpg")
    album_edits = edits()
    album_edits.edit(photo, add=["Ferien"])
    submit(album_edits.database, [Request(str(photo), is_undo=True)])
    album_edits._scan(album_edits.config)
    assert read(sidecar_of(photo)) == ["Ferien"]


@pytest.mark.parametrize("write", ["sidecar", "embed"])
def test_a_machines_word_that_the_user_adds_is_the_users(
    write: str, edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]]
) -> None:
    photo = put("china", "a.jpg")
    album_edits = edits(write=write)
    file = holder_of(photo, write)
    words, named = read(file), _named(file, write)
    added = album_edits.edit(photo, add=["Building"])
    assert read(file) == words
    assert _named(file, write) == [word for word in named if word != "building"]
    album_edits.undo(added)
    assert (read(file), _named(file, write)) == (words, named)


def test_what_the_user_wrote_with_other_programs_is_never_taken_out(
    edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]], album: Path
) -> None:
    photo, other = put("china", "a.jpg"), put("china", "b.jpg")
    sidecar_of(photo).write_text(OWN_SIDECAR.format(word="building"))
    album_edits = edits()
    before = snapshot(album)
    edit = album_edits.edit(photo, other, reject=["building"])
    assert snapshot(album)["a.jpg.xmp"] == before["a.jpg.xmp"]
    assert album_edits.left(photo, other) == ["reject building failed"]
    assert "building" not in read(sidecar_of(other))
    assert album_edits.done(edit) == 1


def test_keywords_in_both_files_follow_both(
    edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]]
) -> None:
    """A sidecar of the user's hides what is inside the photo, so it gets the same."""
    photo = put("china", "a.jpg")
    sidecar_of(photo).write_text(OWN_SIDECAR.format(word="Oma"))
    album_edits = edits(write="embed")
    before = read(photo), read(sidecar_of(photo))
    added = album_edits.edit(photo, add=["Ferien"])
    assert "Ferien" in read(photo)
    assert "Ferien" in read(sidecar_of(photo))
    rejected = album_edits.edit(photo, reject=["building"])
    assert "building" not in read(photo)
    assert "building" not in read(sidecar_of(photo))
    album_edits.undo(rejected)
    album_edits.undo(added)
    assert (set(read(photo)), set(read(sidecar_of(photo)))) == (set(before[0]), set(before[1]))
    assert album_edits.left(photo) == []


def test_when_the_mode_changes_what_was_added_moves_along(
    scan: Scan, configure: Configure, edits: Callable[..., Edits], put: Put,
    read: Callable[..., list[str]],
) -> None:  # fmt: skip
    photo = put("china", "a.jpg")
    album_edits = edits(write="none")
    album_edits.edit(photo, add=["Ferien"])
    assert album_edits.left(photo) == []
    assert not sidecar_of(photo).exists()
    assert album_edits.found("ferien") == ["a.jpg"]
    scan(configure(write="sidecar"))
    assert "Ferien" in read(sidecar_of(photo))
    scan(configure(write="embed"))
    assert not sidecar_of(photo).exists()
    assert "Ferien" in read(photo)


def test_an_added_tag_that_another_program_removes_stays_out(
    scan: Scan, edits: Callable[..., Edits], put: Put, exiftool: Callable[..., str],
    read: Callable[..., list[str]],
) -> None:  # fmt: skip
    photo = put("china", "a.jpg")
    album_edits = edits()
    album_edits.edit(photo, add=["Ferien"])
    exiftool("-overwrite_original", "-XMP-dc:Subject-=Ferien", sidecar_of(photo))
    ask_again(album_edits.config, photo)
    scan(album_edits.config)
    scan(album_edits.config)
    assert "Ferien" not in read(sidecar_of(photo))
    assert album_edits.found("ferien") == []


def test_the_sidecar_of_a_lost_photo_keeps_the_users_words(
    scan: Scan, edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]]
) -> None:
    photo, other = put("china", "a.jpg"), put("china", "b.jpg")
    album_edits = edits()
    album_edits.edit(photo, add=["Ferien"])
    photo.unlink()
    other.unlink()
    put("cat", "cat.png")
    for _ in range(3):
        scan(album_edits.config)
    assert not sidecar_of(other).exists()
    assert "Ferien" in read(sidecar_of(photo))


def test_a_raw_that_takes_over_the_sidecar_takes_no_words_of_the_other_photo(
    edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]], album: Path, scan: Scan
) -> None:
    photo, shared = put("china", "a.jpg"), album / "a.xmp"
    shared.write_text(OWN_SIDECAR.format(word="Oma"))
    album_edits = edits()
    album_edits.edit(photo, add=["Ferien"], reject=["building"])
    assert read(shared) == ["Oma", "outdoors", "Ferien"]
    with Image.open(photo) as image:
        picture = image.convert("RGB").resize((320, 240))
    (album / "a.dng").write_bytes(dng(picture, preview=picture))
    for _ in range(2):
        scan(album_edits.config)
    assert read(shared) == ["Oma", "outdoors"]
    assert set(read(sidecar_of(photo))) == {"outdoors", "Ferien"}
    assert album_edits.found("user:ferien") == ["a.jpg"]
    assert album_edits.found("building") == [], "rejected in the sidecar that both had"
    assert mend_sets(album_edits.database) == 0


def test_a_photo_that_takes_over_the_sidecar_of_a_lost_one_keeps_its_words(
    edits: Callable[..., Edits], put: Put, read: Callable[..., list[str]], album: Path, scan: Scan
) -> None:
    raw, shared = album / "a.dng", album / "a.xmp"
    with Image.open(put("china", "b.jpg")) as image:
        picture = image.convert("RGB").resize((320, 240))
    raw.write_bytes(dng(picture, preview=picture))
    shared.write_text(OWN_SIDECAR.format(word="Oma"))
    album_edits = edits()
    album_edits.edit(raw, add=["Ferien"])
    assert "Ferien" in read(shared)
    raw.unlink()
    for _ in range(3):
        scan(album_edits.config)
    photo = put("china", "a.jpg")
    scan(album_edits.config)
    assert {"Oma", "Ferien"} <= set(read(shared))
    assert album_edits.found(f"user:ferien folder:{album.name}") == [photo.name]


# With commands and a daemon


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def test_a_running_daemon_edits_at_once(
    photoramd: Photoramd, put: Put, read: Callable[..., list[str]]
) -> None:
    photo, other = put("china", "a.jpg"), put("cat", "b.png")
    photoramd.start()
    photoramd.wait_for_states(written=2)
    done = photoramd.run("edit", photo, other, "--add", "Ferien", "--reject", "outdoors")
    assert done.returncode == 0, done.stderr
    assert "edit 1, of 2 photos: queued for the daemon" in done.stdout
    wait_for(lambda: "Ferien" in read(sidecar_of(photo)), "the tag")
    wait_for(lambda: not photoramd.ask("show", other)["edits"], "the other photo")
    assert "outdoors" not in read(sidecar_of(photo))
    assert photoramd.ask("show", photo)["user_tags"] == ["Ferien"]
    answer = photoramd.ask("edit", "--undo", "--wait")
    assert msgspec.convert(answer, Edited) == answer
    assert (answer["edit"], answer["daemon"], answer["photos"]) == (2, True, 2)
    assert (answer["done"], answer["pending"], answer["failed"]) == (4, 0, 0)
    assert "Ferien" not in read(sidecar_of(photo))
    assert "outdoors" in read(sidecar_of(photo))
    assert photoramd.stop() == 0


def test_without_a_daemon_the_command_does_it(
    photoramd: Photoramd, put: Put, read: Callable[..., list[str]], album: Path
) -> None:
    photo, own = put("china", "sub/a.jpg"), put("china", "own.jpg")
    sidecar_of(own).write_text(OWN_SIDECAR.format(word="building"))
    assert photoramd.run("scan").returncode == 0
    done = photoramd.run("edit", "--query", "building", "--reject", "building")
    assert done.returncode == 4
    assert "1 done, 1 failed (no daemon runs" in done.stdout
    assert "your own keyword" in done.stderr
    assert str(own) in done.stderr
    assert "building" not in read(sidecar_of(photo))
    shown = photoramd.run("show", own).stdout
    assert "reject building, failed (edit 1): it is your own keyword" in shown
    assert "building" in photoramd.run("show", photo).stdout  # as rejected
    # Undone for one photo, then for the rest.
    assert photoramd.run("edit", photo, "--undo-edit", 1, "-q").returncode == 0
    assert "building" in read(sidecar_of(photo))
    assert photoramd.run("edit", "--undo", "-q").returncode == 0
    assert "failed" not in photoramd.run("show", own).stdout
    done = photoramd.run("edit", "--undo")
    assert done.returncode == 2
    assert "no edit to undo" in done.stderr


def test_senseless_edits_are_refused_and_leave_no_rows(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    photo = put("cat", "cat.png")
    done = photoramd.run("edit", photo, "--add", "x")
    assert done.returncode == 4
    assert "there is no database" in done.stderr
    assert photoramd.run("scan").returncode == 0
    cases: list[tuple[int, str, list[object]]] = [
        (2, "name photos", ["--add", "x"]),
        (2, "no tag to add", [photo]),
        (2, "cannot be a tag", [photo, "--add", "a/b"]),
        (2, "added and rejected", [photo, "--add", "x", "--reject", "X"]),
        (2, "leave out --add", ["--undo", "--add", "x"]),
        (2, "not both", [photo, "--query", "cat", "--add", "x"]),
        (2, "directory", [album, "--add", "x"]),
        (1, "does not know this photo", [album / "other.jpg", "--add", "x"]),
        (1, "no photo matches", ["--query", "zebra", "--add", "x"]),
        (2, "nothing of edit 7", ["--undo-edit", 7]),
    ]
    for code, said, arguments in cases:
        done = photoramd.run("edit", *arguments)
        assert said in done.stderr, arguments
        assert done.returncode == code, arguments
    assert photoramd.ask("show", photo)["edits"] == []


def test_a_photo_that_cannot_be_written_waits_with_its_reason(
    photoramd: Photoramd, put: Put, album: Path, read: Callable[..., list[str]]
) -> None:
    good, bad = put("china", "a.jpg"), put("cat", "b.png")
    assert photoramd.run("scan").returncode == 0
    sidecar_of(bad).write_text("no XMP")
    shutil.copyfile(sidecar_of(good), album / "copy.xmp")
    photoramd.start()
    answer = photoramd.ask("edit", good, bad, "--add", "Ferien", "--wait")
    assert (answer["done"], answer["pending"], answer["failed"]) == (1, 1, 0)
    ((reason),) = answer["reasons"]
    assert (reason["changes"], reason["final"]) == (1, False)
    assert reason["example"] == str(bad)
    assert "Ferien" in read(sidecar_of(good))
    (edit,) = photoramd.ask("show", bad)["edits"]
    assert (edit["kind"], edit["tag"], edit["state"]) == ("add", "Ferien", "pending")
    assert edit["reason"] == reason["reason"]
    # As soon as it can be written, it is.
    sidecar_of(bad).unlink()
    wait_for(lambda: "Ferien" in read(sidecar_of(bad)), "the mended photo")
    wait_for(lambda: photoramd.ask("show", bad)["edits"] == [], "the edit to be done")


def test_an_edit_of_a_photo_on_a_lost_disk_is_done_when_that_is_back(
    photoramd: Photoramd, put: Put, album: Path, read: Callable[..., list[str]]
) -> None:
    photo = put("china", "a.jpg")
    photoramd.start()
    photoramd.wait_for_states(written=1)
    away = album.rename(album.with_name("away"))
    wait_for(lambda: photoramd.ask("status")["roots"][0]["health"] == "offline", "the loss")
    answer = photoramd.ask("edit", photo, "--add", "Ferien", "--wait")
    assert (answer["done"], answer["pending"], answer["failed"]) == (0, 1, 0)
    assert "cannot be reached now" in answer["reasons"][0]["reason"]
    away.rename(album)
    wait_for(lambda: "Ferien" in read(sidecar_of(photo)), "the tag")
    wait_for(lambda: photoramd.ask("show", photo)["edits"] == [], "the edit to be done")
