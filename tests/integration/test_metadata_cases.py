"""The cases that must hold, by number: see docs/metadata.md.

Each is tried inside of photos and in sidecars where both make sense, with the real ExifTool
as the independent reader.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import struct
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from photoramd.clock import UnixTime
from photoramd.config.overrides import load_overrides
from photoramd.config.schema import Config
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Job, Photos
from photoramd.database.queue import Queue
from photoramd.errors import ChangedError, ConfigError, PhotoramdError, WriteError
from photoramd.keywords import is_keyword
from photoramd.metadata.changes import Place
from photoramd.metadata.exiftool import Changes, ExifTool
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.photo import Tag
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.writer import Writer
from photoramd.system import atomic
from tests.support.album import Scan
from tests.support.files import photo_at

Put = Callable[[str, str], Path]
Read = Callable[..., str]


class Desk:
    """A database, a writer, and tags of our own choice."""

    def __init__(self, database: Database, child: ExifTool, mode: str) -> None:
        self.mode = mode
        self.now = 1e9
        self.create: list[str] = []
        self.database = database
        self.photos, self.queue = Photos(database), Queue(database)
        self.ledger = Ledger(database)
        settings = WriteSettings(lambda _: self.mode, lambda: Origin("model", "1"), self.create)
        self.writer = Writer(self.ledger, settings, child)

    def job(self, photo: Path) -> Job:
        known = self.photos.find(os.fspath(photo))
        if known is None or known.fingerprint != photo_at(photo).fingerprint:
            self.queue.enqueue([photo_at(photo)], self.now)
        with self.database.transaction() as db:
            name = (os.fsencode(photo.name),)
            db.execute("UPDATE photos SET state = 'tagged' WHERE name = ?", name)
        (job,) = self.photos.under(photo)
        return job

    def tag(self, photo: Path, *names: str | Tag) -> PhotoramdError | None:
        tags = [name if isinstance(name, Tag) else Tag(name, 0.9) for name in names]
        ((_, error),) = self.writer.write([(self.job(photo), tags)], self.now)
        return error

    def undo(self, photo: Path) -> None:
        (job,) = self.photos.under(photo)
        self.writer.undo(job, self.now)
        with self.database.transaction() as db:
            db.execute("UPDATE photos SET undone_at = NULL")

    def target(self, photo: Path) -> Path:
        return photo if self.mode == "embed" else photo.with_name(photo.name + ".xmp")

    @property
    def place(self) -> str:
        return Place.PHOTO if self.mode == "embed" else Place.SIDECAR


@pytest.fixture(scope="module")
def child() -> Iterator[ExifTool]:
    with ExifTool() as opened:
        yield opened


@pytest.fixture(params=["embed", "sidecar"])
def desk(request: pytest.FixtureRequest, database: Database, child: ExifTool) -> Desk:
    return Desk(database, child, request.param)


@pytest.fixture
def inside(database: Database, child: ExifTool) -> Desk:
    return Desk(database, child, "embed")


@pytest.fixture
def beside(database: Database, child: ExifTool) -> Desk:
    return Desk(database, child, "sidecar")


@pytest.fixture
def photo(put: Put) -> Path:
    return put("china", "IMG.JPG")


@pytest.fixture
def shown(exiftool: Read) -> Callable[..., list[str]]:
    """The entries of a list tag."""

    def read(path: Path, tag: str = "XMP-dc:Subject") -> list[str]:
        text = exiftool("-s3", "-sep", "##", f"-{tag}", path)
        return text.removesuffix("\n").split("##") if text else []

    return read


@pytest.fixture
def edit(exiftool: Read) -> Callable[..., None]:
    """What a user does with another program."""

    def run(path: Path, *arguments: str) -> None:
        exiftool("-q", "-overwrite_original", *arguments, path)

    return run


Shown = Callable[..., list[str]]
Edit = Callable[..., None]


def pixels(photo: Path) -> bytes:
    with Image.open(photo) as image:
        return image.tobytes()


def test_case_01_no_metadata(desk: Desk, photo: Path, exiftool: Read, shown: Shown) -> None:
    before = pixels(photo)
    assert desk.tag(photo, "dog", "cat") is None
    target = desk.target(photo)
    assert shown(target) == ["dog", "cat"]
    assert b"<rdf:Bag>" in target.read_bytes()
    mark = json.loads(exiftool("-j", "-struct", "-XMP-photoramd:all", target))[0]["AutoTags"]
    assert [entry["Tag"] for entry in mark] == ["dog", "cat"]
    assert mark[0]["Model"] == "model"
    assert mark[0]["Fields"] == "dc:subject"
    assert pixels(photo) == before


def test_case_02_again_writes_nothing(desk: Desk, photo: Path) -> None:
    desk.tag(photo, "dog")
    files = {
        path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in photo.parent.iterdir()
    }
    assert desk.tag(photo, "dog") is None
    assert files == {
        path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in photo.parent.iterdir()
    }


def test_case_03_the_users_case_counts(desk: Desk, photo: Path, edit: Edit, shown: Shown) -> None:
    edit(photo, "-XMP-dc:Subject=Dog")
    desk.tag(photo, "dog", "cat")
    assert shown(desk.target(photo)) == ["Dog", "cat"]


def test_case_04_the_users_composition_counts(
    desk: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    decomposed = unicodedata.normalize("NFD", "Café")
    edit(photo, f"-XMP-dc:Subject={decomposed}")
    desk.tag(photo, "Café", "cat")
    assert shown(desk.target(photo)) == [decomposed, "cat"]


def test_case_05_undo_gives_back_the_same_bytes(inside: Desk, photo: Path) -> None:
    before = photo.read_bytes()
    inside.tag(photo, "dog")
    inside.tag(photo, "cat", "bird")
    assert photo.read_bytes() != before
    inside.undo(photo)
    assert photo.read_bytes() == before


def test_case_06_undo_keeps_what_the_user_added(
    desk: Desk, photo: Path, edit: Edit, shown: Shown, exiftool: Read
) -> None:
    desk.tag(photo, "dog")
    target = desk.target(photo)
    edit(target, "-XMP-dc:Subject+=Oma", "-XMP:RatingPercent=75")
    desk.undo(photo)
    assert shown(target) == ["Oma"]
    # The photo has a rating of its own, in an XMP packet inside of its EXIF.
    assert exiftool("-s3", "-XMP:RatingPercent", target) == "75\n"
    assert "AutoTags" not in exiftool("-XMP:all", target)


def test_case_07_undo_keeps_what_was_there_before(
    desk: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    desk.tag(photo)
    target = desk.target(photo)
    if desk.mode == "sidecar":
        target.write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
            ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
        )
    edit(target, "-XMP-dc:Subject=dog")
    before = target.read_bytes()
    desk.tag(photo, "dog", "cat")
    assert shown(target) == ["dog", "cat"]
    desk.undo(photo)
    assert shown(target) == ["dog"]
    assert target.read_bytes() == before


def test_case_08_a_tag_that_the_user_deleted_is_never_added_again(
    desk: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    desk.tag(photo, "dog", "cat")
    target = desk.target(photo)
    edit(target, "-XMP-dc:Subject-=dog")
    for _ in range(2):
        desk.tag(photo, Tag("dog", 1.0), "cat", "Dog")
        assert shown(target) == ["cat"]
    desk.undo(photo)
    desk.tag(photo, "dog", "bird")
    assert shown(target) == ["bird"]
    assert desk.ledger.recorded(desk.job(photo).id, desk.place).rejected == {"dc:subject": ("dog",)}


@pytest.mark.parametrize("tags", [("dog", "cat"), ()], ids=["again", "undo"])
def test_case_08_a_tag_that_the_user_deleted_from_xmp_only_leaves_iptc_too(
    inside: Desk, photo: Path, edit: Edit, shown: Shown, tags: tuple[str, ...]
) -> None:
    edit(photo, "-IPTC:Keywords=Oma")
    inside.tag(photo, "dog", "cat")
    edit(photo, "-XMP-dc:Subject-=cat")
    if tags:
        inside.tag(photo, *tags)
    else:
        inside.undo(photo)
    assert shown(photo, "IPTC:Keywords") == ["Oma", *(tag for tag in tags if tag != "cat")]
    before = photo.read_bytes()
    inside.tag(photo, *tags)
    assert photo.read_bytes() == before


def test_case_09_a_photo_with_iptc_only(desk: Desk, photo: Path, edit: Edit, shown: Shown) -> None:
    edit(photo, "-IPTC:Keywords=Oma", "-IPTC:Keywords=Opa")
    desk.tag(photo, "dog")
    assert shown(desk.target(photo)) == ["Oma", "Opa", "dog"]
    iptc = shown(photo, "IPTC:Keywords")
    assert iptc == (["Oma", "Opa", "dog"] if desk.mode == "embed" else ["Oma", "Opa"])


def test_case_09_undo_gives_back_photos_with_iptc(inside: Desk, photo: Path, edit: Edit) -> None:
    edit(photo, "-IPTC:Keywords=Oma", "-IPTC:Caption-Abstract=At home", "-IPTC:City=Ulm")
    before = photo.read_bytes()
    inside.tag(photo, "dog", "Café")
    inside.undo(photo)
    assert photo.read_bytes() == before


def test_case_09_undo_gives_back_iptc_that_exiv2_wrote(inside: Desk, photo: Path) -> None:
    # Without the version of the record, which ExifTool adds.
    command = "add Iptc.Application2.Keywords String Oma"
    subprocess.run(["exiv2", "-M", command, photo], check=True)
    before = photo.read_bytes()
    inside.tag(photo, "dog")
    inside.tag(photo, "dog", "Café")
    inside.undo(photo)
    assert photo.read_bytes() == before


def test_case_09_iptc_is_made_where_it_is_asked_for(
    inside: Desk, photo: Path, shown: Shown, exiftool: Read
) -> None:
    before = photo.read_bytes()
    inside.create.append("IPTC:Keywords")
    inside.tag(photo, "dog", "Café")
    assert shown(photo, "IPTC:Keywords") == ["dog", "Café"]
    assert exiftool("-s3", "-IPTC:CodedCharacterSet", photo) == "UTF8\n"
    inside.undo(photo)
    assert photo.read_bytes() == before


def test_case_10_lr_gets_ours_too(desk: Desk, photo: Path, edit: Edit, shown: Shown) -> None:
    desk.tag(photo, "x")
    target = desk.target(photo)
    edit(target, "-XMP-lr:HierarchicalSubject=Family|Oma")
    desk.tag(photo, Tag("dog", 0.9, ("Animals",)))
    assert shown(target, "XMP-lr:HierarchicalSubject") == ["Family|Oma", "Animals|dog"]
    assert shown(target) == ["dog"]


def test_case_11_tagslist_is_appended_to_and_not_made(
    desk: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    desk.tag(photo, "x")
    target = desk.target(photo)
    assert shown(target, "XMP-digiKam:TagsList") == []
    edit(target, "-XMP-digiKam:TagsList=Family/Oma")
    desk.tag(photo, Tag("dog", 0.9, ("Animals",)))
    assert shown(target, "XMP-digiKam:TagsList") == ["Family/Oma", "Animals/dog"]
    assert b"<rdf:Seq>" in target.read_bytes()
    assert shown(target, "XMP-lr:HierarchicalSubject") == []


def test_case_12_a_stale_digest_stays_stale(
    inside: Desk, photo: Path, edit: Edit, shown: Shown, exiftool: Read
) -> None:
    edit(photo, "-IPTC:Keywords=Oma", "-Photoshop:IPTCDigest=new")
    matching = exiftool("-s3", "-Photoshop:IPTCDigest", photo)
    edit(photo, "-IPTC:Keywords+=Opa")
    inside.tag(photo, "dog")
    assert shown(photo) == ["Oma", "Opa", "dog"]
    assert exiftool("-s3", "-Photoshop:IPTCDigest", photo) == matching


def test_case_12_a_matching_digest_still_matches(
    inside: Desk, photo: Path, edit: Edit, exiftool: Read
) -> None:
    edit(photo, "-IPTC:Keywords=Oma", "-Photoshop:IPTCDigest=new")
    before = photo.read_bytes()
    inside.tag(photo, "dog")
    digests = exiftool("-s3", "-Photoshop:IPTCDigest", "-CurrentIPTCDigest", photo).split()
    assert digests[0] == digests[1]
    inside.undo(photo)
    assert photo.read_bytes() == before


def test_case_13_latin_1_iptc_is_left_alone(
    inside: Desk, photo: Path, edit: Edit, shown: Shown, child: ExifTool
) -> None:
    edit(photo, "-charset", "iptc=latin1", "-IPTC:Keywords=Müller")
    before = child.block(photo, "jpg", "IPTC")
    assert "Müller".encode("latin-1") in before
    inside.tag(photo, "dog", "Café")
    assert child.block(photo, "jpg", "IPTC") == before
    assert shown(photo) == ["Müller", "dog", "Café"]


def test_case_13_iptc_that_only_says_that_it_is_utf_8_is_left_alone(
    inside: Desk, photo: Path, edit: Edit, shown: Shown, child: ExifTool
) -> None:
    edit(photo, "-charset", "iptc=latin1", "-IPTC:Keywords=Müller")
    # The declaration alone, as programs set it that do not convert what is there.
    edit(photo, "-CodedCharacterSet=UTF8")
    before = child.block(photo, "jpg", "IPTC")
    assert "Müller".encode("latin-1") in before
    assert b"\x1b%G" in before
    inside.tag(photo, "dog")
    assert child.block(photo, "jpg", "IPTC") == before
    assert shown(photo) == ["Müller", "dog"]


def test_case_14_a_tag_that_is_too_long_for_iptc_goes_into_xmp_only(
    inside: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    edit(photo, "-IPTC:Keywords=Oma")
    long = "x" * 65
    inside.tag(photo, "dog", long)
    assert shown(photo) == ["Oma", "dog", long]
    assert shown(photo, "IPTC:Keywords") == ["Oma", "dog"]
    assert not is_keyword(long)


def test_case_15_keywords_that_look_like_numbers(
    desk: Desk, photo: Path, edit: Edit, shown: Shown
) -> None:
    users = ["1.10", "1e3", "true", "007"]
    edit(photo, *(f"-XMP-dc:Subject={word}" for word in users))
    edit(photo, *(f"-IPTC:Keywords={word}" for word in users))
    desk.tag(photo, "1.1", "1000", "false")
    assert shown(desk.target(photo)) == [*users, "1.1", "1000", "false"]
    wanted = [*users, "1.1", "1000", "false"] if desk.mode == "embed" else users
    assert shown(photo, "IPTC:Keywords") == wanted


def test_case_16_six_thousand_keywords(desk: Desk, photo: Path, child: ExifTool) -> None:
    many = [f"k{number}" for number in range(6000)]
    edited = Changes(lists={"IPTC:Keywords": many})
    photo.write_bytes(child.rewrite(photo, "jpg", edited))
    before = child.block(photo, "jpg", "IPTC")
    desk.tag(photo, "dog")
    # Too much for the XMP in a photo, so beside it.
    sidecar = photo.with_name("IMG.JPG.xmp").read_text()
    assert all(f"<rdf:li>{word}</rdf:li>" in sidecar for word in [*many, "dog"])
    assert child.block(photo, "jpg", "IPTC") == before


@pytest.mark.parametrize("bad", ["x\n-Artist=y", "", " ", "a/b", "a|b", "a,b", "a;b", "\x00", "\r"])
def test_cases_17_and_18_what_is_no_keyword_is_rejected(
    desk: Desk, photo: Path, shown: Shown, exiftool: Read, edit: Edit, bad: str, tmp_path: Path
) -> None:
    edit(photo, "-XMP-dc:Subject=Oma", "-IPTC:Keywords=Oma")
    desk.tag(photo, bad, "dog")
    assert shown(desk.target(photo)) == ["Oma", "dog"]
    assert exiftool("-q", "-s3", "-Artist", photo, desk.target(photo)) == ""
    assert not is_keyword(bad)
    overrides = tmp_path / "overrides.json"
    overrides.write_text(json.dumps({"tabby": bad}))
    if bad.strip():
        with pytest.raises(ConfigError):
            load_overrides(overrides)


@pytest.mark.parametrize(
    "name", [b"-a.jpg", b"@a.jpg", b"$a.jpg", b"a\n-Artist=y\n.jpg", b"\xff\xfe.jpg", b" a.jpg"]
)
def test_case_19_names(desk: Desk, put: Put, name: bytes, exiftool: Read, tmp_path: Path) -> None:
    photo, other = put("china", os.fsdecode(name)), put("cat", "a.jpg")
    before = other.read_bytes()
    assert desk.tag(photo, "dog") is None
    copy = tmp_path / "copy"
    shutil.copyfile(desk.target(photo), copy)
    assert exiftool("-s3", "-Subject", "-Artist", copy) == "dog\n"
    assert other.read_bytes() == before
    expected = {photo, other, desk.target(photo)}
    assert set(photo.parent.iterdir()) == expected
    desk.undo(photo)
    assert set(photo.parent.iterdir()) == {photo, other}


SIDECAR_TEXT = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
   xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmlns:darktable="http://darktable.sf.net/" xmlns:own="http://example.org/own/"
   crs:Exposure2012="+0.50" darktable:auto_presets_applied="1" own:odd="1">
   <crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li><rdf:li>255, 255</rdf:li></rdf:Seq></crs:ToneCurve>
   <darktable:history><rdf:Seq><rdf:li darktable:num="0" darktable:operation="exposure"
     darktable:params="00000000000000"/></rdf:Seq></darktable:history>
   <!-- a comment -->
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def test_case_20_the_sidecar_of_a_raw_is_updated(put: Put, album: Path, shown: Shown) -> None:
    raw, sidecar = put("china", "IMG.CR2"), album / "IMG.xmp"
    sidecar.write_text(SIDECAR_TEXT)
    plan = plan_sidecar(PlanRequest(raw, [Tag("dog", 0.9)], Origin("m", "1"), UnixTime(0)))
    assert plan.target == sidecar
    assert plan.content is not None
    sidecar.write_bytes(plan.content)
    assert shown(sidecar) == ["dog"]


def test_case_21_a_jpeg_leaves_the_sidecar_of_its_raw_alone(
    beside: Desk, photo: Path, shown: Shown
) -> None:
    sidecar = photo.with_name("IMG.xmp")
    photo.with_name("IMG.CR2").write_bytes(b"raw")
    sidecar.write_text(SIDECAR_TEXT)
    beside.tag(photo, "dog")
    assert sidecar.read_text() == SIDECAR_TEXT
    assert shown(photo.with_name("IMG.JPG.xmp")) == ["dog"]


def test_case_22_darktables_duplicates_are_not_touched(beside: Desk, photo: Path) -> None:
    duplicate = photo.with_name("IMG_01.JPG.xmp")
    duplicate.write_text(SIDECAR_TEXT)
    beside.tag(photo, "dog")
    beside.undo(photo)
    assert duplicate.read_text() == SIDECAR_TEXT
    assert set(photo.parent.iterdir()) == {photo, duplicate}


def test_case_23_develop_settings_stay(beside: Desk, photo: Path, exiftool: Read) -> None:
    sidecar = photo.with_name("IMG.JPG.xmp")
    sidecar.write_text(SIDECAR_TEXT)
    before = exiftool("-a", "-struct", "-G1", "-XMP:all", "--XMP-dc:all", sidecar)
    beside.tag(photo, "dog")
    after = exiftool(
        "-a", "-struct", "-G1", "-XMP:all", "--XMP-dc:all", "--XMP-photoramd:all", sidecar
    )
    assert after == before
    assert "<!-- a comment -->" in sidecar.read_text()
    beside.undo(photo)
    assert sidecar.read_text() == SIDECAR_TEXT


@pytest.mark.parametrize(
    "content", [b"", b"<x:xmpmeta", b"<!DOCTYPE x><x/>", b"<x/>"], ids=["empty", "cut", "dtd", "no"]
)
def test_case_24_what_is_no_sidecar_is_left_and_tried_again(
    beside: Desk, photo: Path, shown: Shown, content: bytes
) -> None:
    sidecar = photo.with_name("IMG.JPG.xmp")
    sidecar.write_bytes(content)
    error = beside.tag(photo, "dog")
    assert error is not None
    assert sidecar.read_bytes() == content
    rows = beside.database.rows("SELECT state, reason, next_attempt FROM photos")
    assert rows[0][:2] == ("tagged", error.message)
    assert beside.queue.due_writes(beside.now, 1) == []
    sidecar.write_text(SIDECAR_TEXT)
    beside.queue.retry_writes(os.fspath(photo.parent), photo.stem)
    assert [job.photo.path for job in beside.queue.due_writes(beside.now, 1)] == [photo]
    assert beside.tag(photo, "dog") is None
    assert shown(sidecar) == ["dog"]


def test_case_26_a_full_disk_leaves_the_original(
    desk: Desk, photo: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    before = photo.read_bytes()
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    error = desk.tag(photo, "dog")
    assert isinstance(error, WriteError)
    assert "free some space" in (error.remedy or "")
    assert photo.read_bytes() == before
    assert list(photo.parent.iterdir()) == [photo]
    monkeypatch.undo()
    desk.now += 3600
    assert desk.tag(photo, "dog") is None
    assert shown(desk.target(photo)) == ["dog"]


def test_case_27_a_read_only_photo_is_unchanged(desk: Desk, photo: Path, shown: Shown) -> None:
    photo.chmod(0o444)
    before = (photo.stat().st_ino, photo.stat().st_mtime_ns, photo.read_bytes())
    assert desk.tag(photo, "dog") is None
    assert (photo.stat().st_ino, photo.stat().st_mtime_ns, photo.read_bytes()) == before
    assert shown(photo.with_name("IMG.JPG.xmp")) == ["dog"]


ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in [(1, 6, 2**32 - 1), (2, 4, 12345), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1),
                  (32, 0, 2**32 - 1)]
)  # fmt: skip
"""user::rw-, user:12345:r--, group::r--, mask::r--, other::---"""


def test_case_28_acl_and_attributes_stay(inside: Desk, photo: Path, shown: Shown) -> None:
    os.setxattr(photo, "system.posix_acl_access", ACL)
    os.setxattr(photo, "user.colour", b"blue")
    mode = photo.stat().st_mode
    inside.tag(photo, "dog")
    assert shown(photo) == ["dog"]
    assert os.getxattr(photo, "system.posix_acl_access") == ACL
    assert os.getxattr(photo, "user.colour") == b"blue"
    assert photo.stat().st_mode == mode


def test_case_28_links(
    inside: Desk, photo: Path, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    link, second = photo.with_name("link.jpg"), photo.with_name("second.jpg")
    link.symlink_to(photo)
    second.hardlink_to(photo)
    before = photo.read_bytes()
    with caplog.at_level(logging.WARNING):
        inside.tag(photo, "dog")
        inside.writer.report_fallbacks()
        inside.writer.report_fallbacks()
    assert caplog.text.count("1 photos get a sidecar: it has several hard links") == 1
    assert photo.samefile(second)
    assert photo.read_bytes() == before
    assert shown(photo.with_name("IMG.JPG.xmp")) == ["dog"]
    assert link.is_symlink()


def test_case_29_a_truncated_photo_is_deferred(
    scan: Scan, configure: Callable[..., Config], photo: Path
) -> None:
    os.truncate(photo, photo.stat().st_size // 2)
    before = photo.read_bytes()
    (outcome,) = scan(configure(write="embed"))
    assert outcome.state == "failed"
    assert photo.read_bytes() == before
    assert list(photo.parent.iterdir()) == [photo]


def test_case_30_a_png_named_jpg_is_not_embedded(inside: Desk, put: Put, shown: Shown) -> None:
    photo = put("cat", "cat.jpg")
    before = photo.read_bytes()
    assert before.startswith(b"\x89PNG")
    assert inside.tag(photo, "dog") is None
    assert photo.read_bytes() == before
    assert "dog" in shown(photo.with_name("cat.jpg.xmp"))


def test_case_31_xmp_of_any_depth_holds_up_nothing(
    inside: Desk, photo: Path, put: Put, shown: Shown
) -> None:
    nested = b"<x>" * 20_000 + b"</x>" * 20_000
    packet = (
        b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns="a/">'
    )
    tiff, good = photo.with_name("deep.tif"), put("china", "good.jpg")
    with Image.open(photo) as image:
        image.save(tiff, tiffinfo={700: packet.partition(b"\0")[2] + nested})
    before = tiff.read_bytes()
    inside.tag(tiff, "dog")
    assert inside.tag(good, "dog") is None
    assert shown(good) == ["dog"]
    assert tiff.read_bytes() == before


def test_case_32_another_programs_edit_in_between_lives(
    desk: Desk, photo: Path, edit: Edit, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tag(photo, "cat")
    target = desk.target(photo)
    real = atomic.commit

    def late(prepared: atomic.Prepared) -> object:
        edit(target, "-XMP-dc:Subject+=Oma")
        return real(prepared)

    monkeypatch.setattr(atomic, "commit", late)
    error = desk.tag(photo, "cat", "dog")
    assert isinstance(error, ChangedError)
    assert shown(target) == ["cat", "Oma"]
    monkeypatch.undo()
    assert desk.tag(photo, "cat", "dog") is None
    assert shown(target) == ["cat", "Oma", "dog"]
    assert set(photo.parent.iterdir()) == {photo, target}
