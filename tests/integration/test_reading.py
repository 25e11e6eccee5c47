"""What photos and sidecars say is known: the user's own keywords, and when and with what it was."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from photoramd.config.schema import Config
from photoramd.database import derived
from photoramd.search import queries
from tests.support.album import Scan, ask_again
from tests.support.clock import bound
from tests.support.daemons import Photoramd, wait_for
from tests.support.files import sidecar_of
from tests.support.old_state.place import place
from tests.support.taggers import CountingTagger

Put = Callable[[str, str], Path]


@pytest.fixture
def put(samples: dict[str, Path], album: Path) -> Put:
    """Make a JPEG of a sample photo in the album."""

    def make(sample: str, name: str) -> Path:
        with Image.open(samples[sample]) as image:
            image.convert("RGB").save(album / name, "JPEG", quality=90)
        return album / name

    return make


@pytest.fixture
def config(configure: Callable[..., Config]) -> Config:
    return configure()


def exiftool(*arguments: str | Path) -> None:
    subprocess.run(
        ["exiftool", "-q", "-q", "-overwrite_original", *arguments], check=True, timeout=bound(60)
    )


def touch(path: Path) -> None:
    """Give a file another date: a coarse clock must not hide an edit."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 7_000_000))


def details(config: Config, photo: Path) -> queries.Details:
    with closing(queries.open_readonly(config.state.path)) as connection:
        found = queries.photo(connection, photo)
    assert found is not None
    return found


def found(config: Config, text: str) -> list[str]:
    with closing(queries.open_readonly(config.state.path)) as connection:
        return [match.path.name for match in queries.find(connection, queries.parse(text))]


def in_mode(config: Config, mode: str) -> Config:
    (watch,) = config.watch
    return msgspec.structs.replace(config, watch=(msgspec.structs.replace(watch, write=mode),))


MODES = pytest.mark.parametrize("mode", ["sidecar", "embed", "none"])


@MODES
def test_the_users_keywords_are_told_from_the_machines(
    mode: str, config: Config, scan: Scan, put: Put, tagger: CountingTagger
) -> None:
    config = in_mode(config, mode)
    photo, plain = put("cat", "a.jpg"), put("coffee", "b.jpg")
    exiftool(
        "-XMP-dc:Subject=Oma", "-XMP-dc:Subject=CAT", "-IPTC:Keywords=Garten",
        "-XMP-lr:HierarchicalSubject=Places|Italy|Rome", photo,
    )  # fmt: skip
    scan(config)
    known = details(config, photo)
    assert set(known.user_tags) == {"Oma", "CAT", "Garten", "Rome"}
    assert "cat" in {tag.name for tag in known.tags}
    assert details(config, plain).user_tags == ()
    # A scan after it finds the same, though the files now hold the machine's keywords, too.
    for _ in range(2):
        ask_again(config, photo.parent)
        scan(config)
        assert set(details(config, photo).user_tags) == {"Oma", "CAT", "Garten", "Rome"}
        assert details(config, plain).user_tags == ()
    assert found(config, "user:oma") == found(config, "italy") == found(config, "rome") == ["a.jpg"]
    assert found(config, "tag:=italy") == []
    assert found(config, "by:user") == ["a.jpg"]
    assert found(config, "by:machine") == ["a.jpg", "b.jpg"]
    assert found(config, "user:cat") == ["a.jpg"]
    assert found(config, "auto:oma") == []


@MODES
def test_an_edited_sidecar_is_noticed_by_a_scan(
    mode: str, config: Config, scan: Scan, put: Put, tagger: CountingTagger
) -> None:
    config = in_mode(config, mode)
    photo = put("cat", "a.jpg")
    scan(config)
    sidecar = sidecar_of(photo)
    exiftool("-XMP-dc:Subject+=Opa", sidecar)
    touch(sidecar)
    scan(config)
    assert details(config, photo).user_tags == ("Opa",)
    exiftool("-XMP-dc:Subject-=Opa", "-XMP-dc:Subject+=Tante", sidecar)
    touch(sidecar)
    scan(config)
    assert details(config, photo).user_tags == ("Tante",)
    if mode != "sidecar":
        sidecar.unlink()
        scan(config)
        assert details(config, photo).user_tags == ()
    assert tagger.inferred == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_edited_it_is_known_who_gave_what(
    seed: int, config: Config, scan: Scan, put: Put, tagger: CountingTagger
) -> None:
    """By hand, in the photo and in its sidecar, between scans and changes of the write mode."""
    generator = random.Random(seed)  # noqa: S311
    photo = put("cat", "a.jpg")
    sidecar = sidecar_of(photo)
    own: dict[str, set[str]] = {"photo": set(), "sidecar": set()}
    words = ["Oma", "Opa", "Garten", "x & y", "Ärger", "a/b"]
    mode = "sidecar"
    scan(in_mode(config, mode))
    machine = {tag.name for tag in details(config, photo).tags}
    rejected: set[str] = set()
    for _ in range(6):
        mode = generator.choice(["sidecar", "embed", "none"])
        target, where = generator.choice([(photo, "photo"), (sidecar, "sidecar")])
        if where == "sidecar" and not sidecar.exists():
            target, where = photo, "photo"
        word = generator.choice(words)
        if word in own[where]:
            own[where].discard(word)
            exiftool(f"-XMP-dc:Subject-={word}", target)
        else:
            own[where].add(word)
            exiftool(f"-XMP-dc:Subject+={word}", target)
        touch(target)
        scan(in_mode(config, mode))
        # A new sidecar begins with what the photo has.
        if sidecar.exists() and not own["sidecar"]:
            own["sidecar"] = set(entries(sidecar)) - machine
        if not sidecar.exists():
            own["sidecar"] = set()
        known = details(config, photo)
        assert set(known.user_tags) == own["photo"] | own["sidecar"], (seed, mode, where)
        assert {tag.name for tag in known.tags} == machine - rejected


def entries(path: Path) -> Sequence[str]:
    done = subprocess.run(
        ["exiftool", "-j", "-XMP-dc:Subject", path],
        capture_output=True, text=True, check=True, timeout=bound(60),
    )  # fmt: skip
    (known,) = json.loads(done.stdout)
    subjects = known.get("Subject", [])
    return subjects if isinstance(subjects, list) else [str(subjects)]


def test_the_camera_and_the_place_are_known(
    config: Config, scan: Scan, put: Put, tagger: CountingTagger
) -> None:
    photo = put("cat", "a.jpg")
    exiftool(
        "-EXIF:DateTimeOriginal=2024:07:15 18:30:12", "-EXIF:OffsetTimeOriginal=+02:00",
        "-EXIF:Make=Canon", "-EXIF:Model=Canon EOS R6", "-EXIF:LensModel=RF24-105mm F4 L",
        "-EXIF:ISO=1600", "-EXIF:FNumber=4", "-EXIF:ExposureTime=1/250", "-EXIF:FocalLength=50",
        "-GPSLatitude=48.8583", "-GPSLatitudeRef=N", "-GPSLongitude=2.2945", "-GPSLongitudeRef=E",
        photo,
    )  # fmt: skip
    put("coffee", "b.jpg")
    scan(config)
    look = details(config, photo).look
    assert look is not None
    assert (look.camera, look.lens) == ("Canon EOS R6", "RF24-105mm F4 L")
    assert (look.iso, look.f, look.mm, look.tz) == (1600, 4.0, 50.0, 120)
    for text in (
        "taken:2024-07", "taken:2024-07-15T18:30", "taken:*-07-15", "camera:r6", "lens:24-105",
        "iso:1600", "f:4", "exposure:1/250", "mm:50", "near:48.86,2.29~1km", "has:gps",
        "type:jpeg has:camera", "taken>=2024 taken<2025",
    ):  # fmt: skip
        assert found(config, text) == ["a.jpg"], text
    for text in ("taken:2024-08", "iso>1600", "near:48.86,2.29~100m", "no:gps camera:r6"):
        assert "a.jpg" not in found(config, text), text


def test_photos_that_are_known_are_read_without_inference(
    config: Config, scan: Scan, put: Put, tagger: CountingTagger
) -> None:
    photo = put("cat", "a.jpg")
    exiftool("-XMP-dc:Subject=Oma", "-EXIF:Model=X100", photo)
    scan(config)
    inferred = tagger.inferred
    with closing(sqlite3.connect(config.state.path)) as connection, connection:
        for table in ("looks", "user_keywords", "read_sidecars"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
        connection.execute("UPDATE photos SET is_read = 0")
    before = sidecar_of(photo).read_bytes()
    scan(config)
    known = details(config, photo)
    assert known.user_tags == ("Oma",)
    assert known.look is not None
    assert known.look.camera == "X100"
    assert tagger.inferred == inferred
    assert sidecar_of(photo).read_bytes() == before


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    try:
        yield instance
    finally:
        instance.close()


def test_the_daemon_notices_keywords_at_once(photoramd: Photoramd, put: Put) -> None:
    photo = put("cat", "a.jpg")
    photoramd.start()
    wait_for(lambda: sidecar_of(photo).exists(), "the sidecar")
    wait_for(lambda: photoramd.ask("show", photo)["state"] == "written", "the database")
    exiftool("-XMP-dc:Subject+=Oma", sidecar_of(photo))
    wait_for(lambda: photoramd.ask("show", photo)["user_tags"] == ["Oma"], "the user's keyword")
    (match,) = photoramd.ask("query", "user:oma")
    assert match["user_tags"] == ["Oma"]
    assert "Oma" not in match["tags"]
    assert photoramd.stop() == 0


def test_an_old_database_is_brought_up_to_date_though_it_was_interrupted(tmp_path: Path) -> None:
    home = tmp_path.resolve() / "home"
    place(home)
    (database,) = home.rglob("photoramd.db")
    code = f"""
import os, signal
from pathlib import Path
from photoramd.database import connection, derived
real = derived._chunks
def kill(kind, rows):
    if kind == derived.Kind.USER:
        os.kill(os.getpid(), signal.SIGKILL)
    yield from real(kind, rows)
derived._chunks = kill
connection.connect(Path({os.fspath(database)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=bound(60))
    assert done.returncode == -9
    with (
        closing(queries.open_readonly(database)) as connection,
        pytest.raises(Exception, match="earlier version"),
    ):
        queries.count(connection, queries.parse("*"))
    from photoramd.database.connection import Database

    with Database(database) as opened, opened.transaction() as db:
        assert derived.differences(db) == 0
    with closing(queries.open_readonly(database)) as connection:
        assert queries.count(connection, queries.parse("*")) > 0
