"""Pictures of real photos: while the daemon tags them, and on demand."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageChops, ImageStat

from photoramd.clock import Monotonic, UnixTime, unix_time
from photoramd.config.gallery import Gallery
from photoramd.config.schema import Config
from photoramd.contained import tasks
from photoramd.contained.client import Contained
from photoramd.contained.process import server
from photoramd.database.picture_keys import key_of_file
from photoramd.database.readonly import open_readonly
from photoramd.database.thumbnails import Thumbnails
from photoramd.errors import ChangedError, DecodeError, LostError, StoppedError
from photoramd.images.decoder import decode
from photoramd.images.renditions import PREVIEW, RENDITIONS, THUMBNAIL, Rendition
from photoramd.models.embedded.crop import CROP
from photoramd.photo import Fingerprint
from photoramd.pictures import provider
from photoramd.pictures.provider import LOST_SECONDS, Pictures
from photoramd.pictures.subjects import Subject, find_subject
from tests.support import hostile, icc
from tests.support.album import Scan
from tests.support.daemons import Photoramd, wait_for
from tests.support.dng import dng

MAX_PIXELS = 10**8
LIMIT = 10**8
CRASHES = 303
"""The width of photos that `tests.support.reducing_badly` crashes of."""


def subject(path: Path) -> Subject:
    """A photo that the database knows as it is now."""
    fingerprint = Fingerprint.of(path.stat())
    return Subject(path, fingerprint, key_of_file(fingerprint))


def image(content: bytes) -> Image.Image:
    found = Image.open(io.BytesIO(content))
    found.load()
    return found


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' values, of 255."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other)).mean)


def shown(photo: Image.Image, side: int) -> Image.Image:
    """What a picture is to look like."""
    copy = photo.convert("RGB")
    copy.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=None)
    return copy


@pytest.fixture
def cat(samples: dict[str, Path]) -> Image.Image:
    with Image.open(samples["cat"]) as opened:
        return opened.convert("RGB")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[Thumbnails]:
    with closing(Thumbnails(directory, LIMIT)) as opened:
        yield opened


@pytest.fixture
def pictures(directory: Path, album: Path) -> Iterator[Pictures]:
    with provider.opened(Gallery(cache=directory), [album], MAX_PIXELS) as opened:
        yield opened


class Counting(Contained):
    """Counts the pictures that workers make."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def picture(self, *arguments: Any) -> tuple[bytes, Fingerprint]:
        self.made += 1
        return super().picture(*arguments)


@pytest.fixture
def counting() -> Iterator[Counting]:
    with Counting() as contained:
        yield contained


# While photos are tagged


def subjects(database: Path) -> dict[str, Subject]:
    with closing(open_readonly(database)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM photos")]
        found = [find_subject(connection, each) for each in ids]
        assert find_subject(connection, 10**6) is None
    return {each.path.name: each for each in found if each is not None}


def test_the_daemon_makes_thumbnails_of_what_it_tags(
    tmp_path: Path, album: Path, directory: Path, put: Callable[[str, str], Path]
) -> None:
    gallery = f"thumbnails = true\ncache = '{directory}'"
    daemon = Photoramd(tmp_path, album, gallery=gallery)
    with closing(daemon), closing(Thumbnails(directory, LIMIT)) as cache:
        put("cat", "a.png")
        daemon.start()
        put("china", "sub/b.jpg")
        put("china", "copy.jpg")
        (album / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
        daemon.wait_for_states(written=3, failed=1)
        found = subjects(daemon.database)
        assert found["b.jpg"].key == found["copy.jpg"].key
        for name in ("a.png", "b.jpg", "copy.jpg"):
            content = cache.get(found[name].key, THUMBNAIL, unix_time())
            assert content is not None
            with Image.open(found[name].path) as photo:
                assert difference(image(content), shown(photo, 320)) < 6
            assert cache.get(found[name].key, PREVIEW, unix_time()) is None
        assert cache.get(found["bad.jpg"].key, THUMBNAIL, unix_time()) is None
        # They are given without a look at the photo, whose disk may be gone.
        shutil.rmtree(album)
        with Contained() as stopped:
            stopped.stop()
            given = Pictures(cache, stopped, [album], MAX_PIXELS)
            assert given.get(found["a.png"], THUMBNAIL).media_type == "image/webp"
            with pytest.raises((StoppedError, DecodeError)):
                given.get(found["a.png"], PREVIEW)
        assert daemon.stop() == 0


def test_a_cache_that_cannot_be_written_costs_no_tag(
    tmp_path: Path, album: Path, put: Callable[[str, str], Path]
) -> None:
    (tmp_path / "file").touch()
    gallery = f"thumbnails = true\ncache = '{tmp_path}/file/cache'"
    daemon = Photoramd(tmp_path, album, gallery=gallery)
    with closing(daemon):
        for number in range(3):
            put("cat", f"{number}.png")
        daemon.start()
        daemon.wait_for_states(written=3)
        assert daemon.stop() == 0
    assert daemon.log.read_text().count("thumbnails are not kept") == 1


def digests(database: Path) -> set[bytes]:
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute("SELECT digest FROM results")}


def test_thumbnails_change_nothing_else_and_are_off_by_default(
    scan: Scan,
    configure: Callable[..., Config],
    put: Callable[[str, str], Path],
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "xdg"))
    for number, name in enumerate(("cat", "china", "rocket", "flower")):
        put(name, f"{number}.jpg")
    config = configure(write="none")
    assert not config.gallery.thumbnails
    quiet = Gallery(cache=directory)
    tags = {each.path: each.tags for each in scan(msgspec.structs.replace(config, gallery=quiet))}
    seen = digests(config.state.path)
    assert not directory.exists()
    config.state.path.unlink()
    loud = Gallery(cache=directory, thumbnails=True)
    again = {each.path: each.tags for each in scan(msgspec.structs.replace(config, gallery=loud))}
    assert digests(config.state.path) == seen
    assert again == tags
    with closing(sqlite3.connect(directory / "thumbnails.db")) as connection:
        assert connection.execute("SELECT count(*) FROM pictures").fetchone() == (4,)


def test_a_thumbnail_that_cannot_be_made_costs_no_tag(
    cat: Image.Image, monkeypatch: pytest.MonkeyPatch, album: Path
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    cat.save(album / "a.png")
    found = decode(album / "a.png", side=CROP.decode_side, max_pixels=MAX_PIXELS)
    assert THUMBNAIL.fits(tasks._thumbnail(found))
    monkeypatch.setattr(tasks, "reduced", fail)
    assert tasks._thumbnail(found) == b""


def test_what_is_decoded_too_small_gets_its_thumbnail_later(cat: Image.Image, album: Path) -> None:
    cat.resize((3000, 2000)).save(album / "a.jpg")
    found = decode(album / "a.jpg", side=100, max_pixels=MAX_PIXELS)
    assert THUMBNAIL.fits(tasks._thumbnail(found))
    assert tasks._thumbnail(replace(found, image=found.image.resize((300, 200)))) == b""


def test_a_photo_whose_thumbnail_crashes_the_worker_is_tagged(
    tmp_path: Path, album: Path, directory: Path, put: Callable[[str, str], Path]
) -> None:
    program = """
from photoramd.cli import main
from photoramd.models.embedded.tagger import EmbeddedTagger
from tests.support.reducing_badly import ReducingBadly

EmbeddedTagger.crop = ReducingBadly()
main()
"""
    gallery = f"thumbnails = true\ncache = '{directory}'"
    daemon = Photoramd(tmp_path, album, program=program, gallery=gallery)
    with closing(daemon), closing(Thumbnails(directory, LIMIT)) as cache:
        put("cat", "good.png")
        Image.new("RGB", (CRASHES, 200), "teal").save(album / "bad.png")
        daemon.start()
        daemon.wait_for_states(written=2)
        found = subjects(daemon.database)
        assert cache.get(found["good.png"].key, THUMBNAIL, unix_time()) is not None
        assert cache.get(found["bad.png"].key, THUMBNAIL, unix_time()) is None
        assert daemon.stop() == 0


# On demand


@pytest.mark.parametrize("rendition", RENDITIONS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif", "a.heic", "a.avif", "a.DNG"]
)
def test_every_format_has_pictures(
    pictures: Pictures, cat: Image.Image, album: Path, name: str, rendition: Rendition
) -> None:
    path = album / name
    photo = cat.resize((2000, 1330))
    if path.suffix == ".DNG":
        path.write_bytes(dng(cat))
    elif path.suffix == ".heic":
        pillow_heif.from_pillow(photo).save(path)
    else:
        photo.save(path)
    found = pictures.get(subject(path), rendition)
    assert found.media_type == rendition.media_type
    made = image(found.content)
    assert made.format == rendition.format
    if path.suffix == ".DNG":
        assert max(made.size) <= rendition.side
    else:
        assert max(made.size) == rendition.side
        assert difference(made, shown(photo, rendition.side)) < (12 if name == "a.gif" else 6)
    assert pictures.get(subject(path), rendition) == found


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(
    pictures: Pictures, cat: Image.Image, album: Path, orientation: int
) -> None:
    path = album / "a.jpg"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    cat.save(path, exif=exif)
    with Image.open(path) as photo:
        transposed = {
            2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }.get(orientation)  # fmt: skip
        upright = photo.transpose(transposed) if transposed is not None else photo.copy()
    for rendition in RENDITIONS.values():
        made = image(pictures.get(subject(path), rendition).content)
        assert difference(made, shown(upright, rendition.side)) < 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic", "avif"])
def test_colours_are_those_that_the_profile_means(
    pictures: Pictures, album: Path, suffix: str
) -> None:
    path = album / f"a.{suffix}"
    profile = icc.profile(red=icc.BLUE, blue=icc.RED)
    photo = Image.new("RGB", (700, 500), (255, 0, 0))
    if suffix == "heic":
        pillow_heif.from_pillow(photo).save(path, icc_profile=profile)
    else:
        photo.save(path, icc_profile=profile)
    for rendition in RENDITIONS.values():
        made = image(pictures.get(subject(path), rendition).content)
        assert difference(made, Image.new("RGB", made.size, (0, 0, 255))) < 12
    with Contained() as contained:
        thumbnails: list[bytes] = []
        contained.see(path, CROP, MAX_PIXELS, keep_thumbnail=thumbnails.append)
    made = image(thumbnails[0])
    assert difference(made, Image.new("RGB", made.size, (0, 0, 255))) < 12


def test_no_picture_says_where_a_photo_was_taken(
    pictures: Pictures,
    cat: Image.Image,
    album: Path,
    tmp_path: Path,
    exiftool: Callable[..., str],
) -> None:
    path = album / "a.jpg"
    cat.save(path, comment=b"a secret", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    exiftool(
        "-overwrite_original", "-GPSLatitude=48.1", "-GPSLatitudeRef=N", "-GPSLongitude=11.5",
        "-GPSLongitudeRef=E", "-IPTC:City=Secret", "-XMP:City=Secret", "-Artist=Secret", path,
    )  # fmt: skip
    assert "Secret" in exiftool(path)
    for rendition in RENDITIONS.values():
        target = tmp_path / f"made.{rendition.format.lower()}"
        target.write_bytes(pictures.get(subject(path), rendition).content)
        said = exiftool("-G1", "-a", target)
        groups = {line.split("]")[0].strip("[") for line in said.splitlines()}
        assert groups <= {"ExifTool", "System", "File", "RIFF", "Composite", "JFIF"}
        assert "ecret" not in said


def test_a_photo_that_changed_is_shown_as_it_is_and_not_kept_for_what_it_was(
    pictures: Pictures, cat: Image.Image, album: Path, cache: Thumbnails
) -> None:
    path = album / "a.png"
    Image.new("RGB", (400, 300), "teal").save(path)
    known = subject(path)
    cat.save(path)
    fresh = pictures.get(known, THUMBNAIL)
    assert difference(image(fresh.content), shown(cat, 320)) < 4
    assert cache.get(known.key, THUMBNAIL, unix_time()) is None
    now = pictures.get(subject(path), THUMBNAIL)
    assert now == fresh
    assert now.tag != pictures.get(subject(path), PREVIEW).tag


def test_a_photo_that_changes_meanwhile_gives_nothing(
    album: Path, put: Callable[[str, str], Path]
) -> None:
    path = put("cat", "a.png")

    def change(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with Contained() as contained, pytest.raises(ChangedError):
        contained.picture(path, THUMBNAIL, MAX_PIXELS, change)


def test_what_is_in_no_watched_directory_is_not_shown(
    pictures: Pictures, cat: Image.Image, album: Path, tmp_path: Path
) -> None:
    outside = tmp_path.resolve() / "outside"
    outside.mkdir()
    cat.save(outside / "a.png")
    (album / "file.png").symlink_to(outside / "a.png")
    (album / "directory").symlink_to(outside)
    fingerprint = Fingerprint.of((outside / "a.png").stat())
    for number, path in enumerate(
        (
            outside / "a.png",
            album / ".." / "outside" / "a.png",
            album / "file.png",
            album / "directory" / "a.png",
            album,
            album / "missing.png",
            Path(f"{album}-other/a.png"),
        )
    ):
        with pytest.raises(DecodeError):
            pictures.get(Subject(path, fingerprint, bytes([number] * 16)), THUMBNAIL)


@pytest.mark.parametrize("name", sorted(hostile.BAD))
def test_hostile_photos_cost_only_themselves(
    pictures: Pictures, cat: Image.Image, album: Path, name: str
) -> None:
    good = album / "good.png"
    cat.save(good)
    bad = hostile.put(album / f"bad.{hostile.BAD[name].suffix}", name)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(pictures.get, subject(bad), each) for each in RENDITIONS.values()]
        assert pictures.get(subject(good), THUMBNAIL).content
        for each in waiting:
            with pytest.raises(DecodeError, match=hostile.BAD[name].reason):
                each.result(120)


def test_a_photo_with_too_many_pixels_is_refused(
    directory: Path, cat: Image.Image, album: Path
) -> None:
    cat.save(album / "a.png")
    with (
        provider.opened(Gallery(cache=directory), [album], 1000) as pictures,
        pytest.raises(DecodeError, match="more than the limit"),
    ):
        pictures.get(subject(album / "a.png"), THUMBNAIL)


def workers() -> set[int]:
    process = server().pid
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@contextmanager
def killing(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[list[int]]:
    """Kill workers amid the decoding of a photo of that name; yields those that were killed."""
    killed: list[int] = []
    picture = Contained.picture

    def made(
        self: Contained, photo: Path, rendition: Rendition, most: int, reserve: Any
    ) -> tuple[bytes, Fingerprint]:
        def kill(_: int) -> None:
            for each in workers():
                os.kill(each, signal.SIGKILL)
                killed.append(each)

        return picture(self, photo, rendition, most, kill if photo.name == name else reserve)

    with monkeypatch.context() as patch:
        patch.setattr(Contained, "picture", made)
        yield killed


def test_a_worker_that_is_lost_costs_one_photo_for_a_while(
    cache: Thumbnails,
    cat: Image.Image,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.png", "b.png"):
        cat.save(album / name)
    seconds = 0.0

    def now() -> tuple[UnixTime, Monotonic]:
        return UnixTime(1e9 + seconds), Monotonic(seconds)

    with Contained() as contained:
        pictures = Pictures(cache, contained, [album], MAX_PIXELS, now)
        with killing(monkeypatch, "a.png") as killed:
            with pytest.raises(LostError, match="ended from outside"):
                pictures.get(subject(album / "a.png"), THUMBNAIL)
            count = len(killed)
            assert count > 0
            with pytest.raises(LostError, match="ended from outside"):
                pictures.get(subject(album / "a.png"), THUMBNAIL)
            assert len(killed) == count  # not tried again
            assert pictures.get(subject(album / "b.png"), THUMBNAIL).content
        seconds = LOST_SECONDS
        assert pictures.get(subject(album / "a.png"), THUMBNAIL).content


def test_many_who_want_the_same_have_it_made_once(
    cache: Thumbnails, counting: Counting, album: Path
) -> None:
    path = album / "a.png"
    Image.effect_noise((3000, 2000), 80).convert("RGB").save(path)
    pictures = Pictures(cache, counting, [album], MAX_PIXELS)
    wanted = subject(path)
    together = threading.Barrier(12)

    def ask(_: int) -> bytes:
        together.wait(60)
        return pictures.get(wanted, THUMBNAIL).content

    with ThreadPoolExecutor(12) as threads:
        assert len(set(threads.map(ask, range(12)))) == 1
    assert counting.made == 1


def test_a_deleted_cache_costs_only_time(
    cache: Thumbnails, counting: Counting, cat: Image.Image, album: Path, directory: Path
) -> None:
    cat.save(album / "a.png")
    pictures = Pictures(cache, counting, [album], MAX_PIXELS)
    first = pictures.get(subject(album / "a.png"), THUMBNAIL)
    assert pictures.get(subject(album / "a.png"), THUMBNAIL) == first
    assert counting.made == 1
    shutil.rmtree(directory)
    assert pictures.get(subject(album / "a.png"), THUMBNAIL) == first
    assert counting.made == 2


def test_what_is_no_picture_is_not_believed(
    cache: Thumbnails, cat: Image.Image, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = album / "a.png"
    cat.save(path)
    with Contained() as contained:
        monkeypatch.setattr(contained._pool, "call", lambda *_: b"<script>")
        pictures = Pictures(cache, contained, [album], MAX_PIXELS)
        with pytest.raises(LostError, match="no picture"):
            pictures.get(subject(path), THUMBNAIL)
    assert cache.get(subject(path).key, THUMBNAIL, unix_time()) is None


def test_rest_gives_memory_back_and_costs_only_time(
    pictures: Pictures, cat: Image.Image, album: Path
) -> None:
    cat.save(album / "a.png")
    # The server stays while other workers of this process live.
    others = workers()
    pictures.get(subject(album / "a.png"), THUMBNAIL)
    ours = workers() - others
    assert ours
    pictures.rest()
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in ours))
    pictures.get(subject(album / "a.png"), PREVIEW)


def test_a_photo_that_waits_again_is_not_shown_as_it_was(
    tmp_path: Path,
    scan: Scan,
    configure: Callable[..., Config],
    put: Callable[[str, str], Path],
) -> None:
    put("cat", "a.jpg")
    config = configure(write="none")
    scan(config)
    (tagged,) = subjects(config.state.path).values()
    assert tagged.key != key_of_file(tagged.fingerprint)
    for state in ("pending", "failed", "missing"):
        with closing(sqlite3.connect(config.state.path)) as connection, connection:
            connection.execute("UPDATE photos SET state = ?", (state,))
        (waiting,) = subjects(config.state.path).values()
        assert waiting.key == key_of_file(tagged.fingerprint)
