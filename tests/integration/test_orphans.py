"""Sidecars of ours alone go with their photos; those with anything else stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.clock import UnixTime
from photoramd.config.schema import Config
from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from tests.support.album import Scan, states, take_back
from tests.support.files import sidecar_of
from tests.support.xmp import subjects

Configure = Callable[..., Config]
Put = Callable[[str, str], Path]
Read = Callable[..., str]


def edit(exiftool: Read, path: Path, *changes: str) -> None:
    exiftool("-q", "-overwrite_original", *changes, path)


@pytest.fixture
def photo(put: Put, exiftool: Read) -> Path:
    put("motorcycle", "stays.jpg")  # a directory without any photo looks like an unmounted one
    path = put("rocket", "a/rocket.jpg")
    edit(exiftool, path, "-XMP-xmp:Rating=4", "-XMP-dc:Title=Start")
    return path


def test_a_sidecar_of_ours_alone_goes_with_a_deleted_photo(
    scan: Scan, configure: Configure, photo: Path
) -> None:
    scan(configure())
    content = photo.read_bytes()
    photo.unlink()
    scan(configure())
    assert sidecar_of(photo).exists()  # one scan proves nothing
    scan(configure())
    assert states(configure()) == {"written": 1, "missing": 1}
    scan(configure())
    assert not sidecar_of(photo).exists()
    photo.write_bytes(content)
    scan(configure())
    assert "rocket" in subjects(sidecar_of(photo).read_bytes())


def test_a_sidecar_with_anything_of_somebody_elses_stays(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    scan(configure())
    edit(exiftool, sidecar_of(photo), "-XMP-xmp:Rating=5")
    before = sidecar_of(photo).read_bytes()
    photo.unlink()
    for _ in range(4):
        scan(configure())
    assert states(configure()) == {"written": 1, "missing": 1}
    assert sidecar_of(photo).read_bytes() == before


def test_a_moved_photo_gets_its_sidecar_at_the_new_place_and_leaves_none(
    scan: Scan, configure: Configure, photo: Path, album: Path
) -> None:
    scan(configure())
    (album / "b").mkdir()
    moved = photo.rename(album / "b" / "other.jpg")
    scan(configure())
    assert not sidecar_of(photo).exists()
    assert "rocket" in subjects(sidecar_of(moved).read_bytes())
    take_back(configure(), moved)
    assert not sidecar_of(moved).exists()


def test_a_sidecar_that_moves_with_its_photo_stays_as_it_is(
    scan: Scan, configure: Configure, photo: Path, album: Path
) -> None:
    scan(configure())
    before = sidecar_of(photo).read_bytes()
    (album / "a").rename(album / "b")
    scan(configure())
    assert (album / "b" / "rocket.jpg.xmp").read_bytes() == before


def test_what_the_user_wrote_stays_where_a_moved_photo_was(
    scan: Scan, configure: Configure, photo: Path, album: Path, exiftool: Read
) -> None:
    scan(configure())
    edit(exiftool, sidecar_of(photo), "-XMP-dc:Title=Meins")
    before = sidecar_of(photo).read_bytes()
    moved = photo.rename(album / "other.jpg")
    scan(configure())
    assert sidecar_of(photo).read_bytes() == before
    assert "rocket" in subjects(sidecar_of(moved).read_bytes())


def test_undo_removes_what_it_knows_of_missing_photos(
    scan: Scan, configure: Configure, photo: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(configure())
    photo.unlink()
    with Database(configure().state.path) as database:
        photos = Photos(database)
        known = photos.find(os.fspath(photo))
        assert known is not None
        photos.lose(known.id, UnixTime(1e9))
    assert sidecar_of(photo).exists()
    undone = {each.path: each for each in take_back(configure(), album)}
    assert undone[photo].removed_sidecar
    assert not sidecar_of(photo).exists()


def clean(config: Path, *arguments: object) -> dict[str, object]:
    program = [sys.executable, "-m", "photoramd", "--config", config, "clean", "--json"]
    done = subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def test_clean_finds_orphans_by_their_mark(
    scan: Scan,
    configure: Configure,
    photo: Path,
    put: Put,
    album: Path,
    tmp_path: Path,
    exiftool: Read,
) -> None:
    config = configure()
    file = tmp_path / "photoramd.toml"
    file.write_text(
        f"[[watch]]\npath = {json.dumps(str(album))}\n"
        f"[state]\npath = {json.dumps(str(config.state.path))}\n"
    )
    plain = put("cat", "cat.png")
    edit(exiftool, plain, "-all=")
    edited, kept = put("coffee", "coffee.png"), put("china", "china.jpg")
    foreign = album / "foreign.jpg.xmp"
    foreign.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    )
    scan(config)
    edit(exiftool, sidecar_of(edited), "-XMP-xmp:Rating=5")
    shutil.copy(sidecar_of(plain), elsewhere := tmp_path / "elsewhere.png.xmp")
    for each in (photo, plain, edited):
        each.unlink()
    expected = sorted(map(str, (sidecar_of(photo), sidecar_of(plain))))
    found = clean(file, "--dry-run", album)
    assert sorted(found["removed"]) == expected  # type: ignore[call-overload]
    assert sidecar_of(plain).exists()
    found = clean(file, album)
    assert sorted(found["removed"]) == expected  # type: ignore[call-overload]
    assert [each["file"] for each in found["kept"]] == [str(sidecar_of(edited))]  # type: ignore[attr-defined]
    left = {path.name for path in album.rglob("*.xmp")}
    assert left == {foreign.name, "stays.jpg.xmp", *(sidecar_of(p).name for p in (edited, kept))}
    assert elsewhere.exists()
    # Without a database, what only the record proves.
    file.write_text(f"[state]\npath = {json.dumps(str(tmp_path / 'none.db'))}\n")
    assert clean(file, tmp_path)["removed"] == [str(elsewhere)]
    assert not elsewhere.exists()
    assert not (tmp_path / "none.db").exists()
