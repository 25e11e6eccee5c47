"""Keywords inside of photos, with real files and the real ExifTool."""

from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, TiffImagePlugin

from photoramd.clock import UnixTime
from photoramd.config.schema import Config
from photoramd.errors import ChangedError, EmbeddingError
from photoramd.metadata import containers
from photoramd.metadata.changes import Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.plan_embedding import plan_photo
from photoramd.metadata.xmp_packet import EMPTY_PACKET
from photoramd.photo import Fingerprint, Tag
from tests.support.album import Scan, ask_again, changed, snapshot, states, take_back, written
from tests.support.taggers import CountingTagger
from tests.support.xmp import add_subjects, remove_subjects, subjects

Put = Callable[[str, str], Path]
Configure = Callable[..., Config]
Read = Callable[..., str]

FORMATS = ["jpg", "png", "webp", "tif", "heic", "avif"]


@pytest.fixture(scope="module")
def child() -> Iterator[ExifTool]:
    with ExifTool() as opened:
        yield opened


def make(samples: dict[str, Path], target: Path, **options: object) -> Path:
    """A real photo in the format of the target's suffix."""
    pillow_heif.register_heif_opener()
    with Image.open(samples["cat"]) as image:
        picture = image.convert("RGB")
        picture.info.clear()
        picture.save(target, **options)  # type: ignore[arg-type]
    return target


def plan(photo: Path, child: ExifTool, *names: str, recorded: Recorded | None = None) -> Plan:
    tags = [Tag(name, 0.9) for name in names]
    return plan_photo(
        PlanRequest(photo, tags, Origin("model", "1"), UnixTime(0)), recorded or Recorded(), child
    )


def subject(exiftool: Read, photo: Path) -> list[str]:
    shown = exiftool("-s3", "-sep", "##", "-XMP-dc:Subject", photo)
    return shown.rstrip("\n").split("##") if shown else []


def pixels(photo: Path) -> bytes:
    with Image.open(photo) as image:
        return image.convert("RGB").tobytes()


@pytest.mark.parametrize("extension", FORMATS)
def test_keywords_get_into_a_photo_and_out_again(
    extension: str, scan: Scan, configure: Configure, album: Path, samples: dict[str, Path],
    exiftool: Read, tagger: CountingTagger,
) -> None:  # fmt: skip
    photo = make(samples, album / f"a.{extension}")
    os.utime(photo, ns=(10**18, 10**18))
    before, shown = photo.read_bytes(), pixels(photo)
    config = configure(write="embed")
    assert written(scan(config)) == [photo.name]
    assert "cat" in subject(exiftool, photo)
    assert pixels(photo) == shown
    assert photo.stat().st_mtime_ns == 10**18 + 10**6
    assert [path.name for path in album.iterdir()] == [photo.name]
    after = snapshot(album)
    assert scan(config) == []
    assert snapshot(album) == after
    assert tagger.inferred == 1
    (undone,) = take_back(config, photo)
    assert undone.error is None
    assert "cat" in undone.removed
    assert photo.stat().st_mtime_ns == 10**18 + 2 * 10**6
    assert subject(exiftool, photo) == []
    assert exiftool("-XMP:all", photo) == ""
    assert photo.read_bytes() == before
    assert scan(config) == []
    ask_again(config, photo)
    scan(config)
    assert "cat" in subject(exiftool, photo)
    assert tagger.inferred == 1
    assert states(config) == {"written": 1}


@pytest.mark.parametrize("extension", FORMATS)
def test_everything_else_stays(
    extension: str, child: ExifTool, album: Path, samples: dict[str, Path], exiftool: Read
) -> None:
    photo = make(samples, album / f"a.{extension}")
    theirs = ["-EXIF:Artist=Oma", "-EXIF:DateTimeOriginal=2001:02:03 04:05:06", "-Orientation#=6"]
    if extension != "webp":  # which Debian's ExifTool cannot write
        theirs += ["-XMP:Rating=4", "-XMP-dc:Subject=Opa", "-XMP-dc:Title=A & B"]
        exiftool("-q", "-overwrite_original", *theirs, photo)
    before = exiftool("-G1", "-a", "-s", "--File:all", "--System:all", "--ExifTool:all", photo)
    outcome = plan(photo, child, "cat")
    assert outcome.content is not None
    shown = pixels(photo)
    photo.write_bytes(outcome.content)
    assert pixels(photo) == shown
    assert "cat" in subject(exiftool, photo)
    after = exiftool("-G1", "-a", "-s", "--File:all", "--System:all", "--ExifTool:all", photo)
    ignored = ("Subject", "AutoTags", "Offset", "Start", "XMPToolkit", "XMP-photoramd", "[XMP-x]",
               "WebP_Flags", "Media", "ImageWidth", "ImageHeight")  # fmt: skip

    def kept(text: str) -> list[str]:
        return [line for line in text.splitlines() if not any(word in line for word in ignored)]

    assert kept(after) == kept(before)


def test_exiv2_reads_the_same_keywords(
    child: ExifTool, album: Path, samples: dict[str, Path]
) -> None:
    photo = make(samples, album / "a.jpg")
    outcome = plan(photo, child, "cat", "1.10", "é")
    assert outcome.content is not None
    photo.write_bytes(outcome.content)
    said = subprocess.run(
        ["exiv2", "-K", "Xmp.dc.subject", "-Pt", photo], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "cat, 1.10, é"


def refused(photo: Path, child: ExifTool) -> str:
    before = photo.read_bytes()
    with pytest.raises(EmbeddingError) as caught:
        plan(photo, child, "cat")
    assert photo.read_bytes() == before
    return caught.value.message


def test_what_would_not_be_safe_is_refused_with_the_reason(
    child: ExifTool, put: Put, album: Path, exiftool: Read
) -> None:
    linked = put("china", "linked.jpg")
    (album / "other.jpg").hardlink_to(linked)
    assert "hard links" in refused(linked, child)
    readonly = put("china", "readonly.jpg")
    readonly.chmod(0o444)
    assert "read-only" in refused(readonly, child)
    link = album / "link.jpg"
    link.symlink_to(linked)
    with pytest.raises(EmbeddingError):
        plan(link, child, "cat")
    assert link.is_symlink()
    misnamed = album / "misnamed.jpg"
    shutil.copyfile(put("cat", "cat.png"), misnamed)
    assert "PNG" in refused(misnamed, child)
    gif = album / "a.gif"
    with Image.open(linked) as image:
        image.save(gif)
    assert "GIF" in refused(gif, child)
    signed = put("china", "signed.jpg")
    data = signed.read_bytes()
    box = b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa" + bytes(12)
    claim = b"JP\0\x01\0\0\0\x01" + box
    signed.write_bytes(
        data[:2] + b"\xff\xeb" + (len(claim) + 2).to_bytes(2, "big") + claim + data[2:]
    )
    assert "content credentials" in refused(signed, child)
    doubled = put("china", "doubled.jpg")
    exiftool("-q", "-overwrite_original", "-IPTC:Keywords=Oma", doubled)
    once = doubled.read_bytes()
    segments = {marker: once[start:end] for marker, start, end in containers._segments(once)}
    second = segments[containers._APP13].replace(b"Oma", b"Opa")
    doubled.write_bytes(once[:2] + second + once[2:])
    assert "two IPTC records" in refused(doubled, child)
    large = put("china", "large.jpg")
    exiftool("-q", "-overwrite_original", f"-XMP-dc:Description={'x' * 66_000}", large)
    assert "XMP" in refused(large, child)
    broken = put("china", "broken.jpg")
    packet = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"
    broken.write_bytes(
        data[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + data[2:]
    )
    assert "XMP" in refused(broken, child)


@pytest.mark.parametrize("flag", [0x10, 0x20])
def test_an_immutable_or_append_only_photo_is_refused(
    flag: int, child: ExifTool, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put("china", "a.jpg")
    assert plan(photo, child, "cat").content is not None
    # A fake: to set the flag takes a right that root in a container may not have.
    monkeypatch.setattr("fcntl.ioctl", lambda *_: struct.pack("ii", flag, 0))
    assert "immutable" in refused(photo, child)


def test_a_tiff_has_the_same_iptc_record_twice_or_is_refused(
    child: ExifTool, album: Path, samples: dict[str, Path]
) -> None:
    def photo(name: str, first: bytes, second: bytes) -> Path:
        keyword = b"\x1c\2\0\0\2\0\4\x1c\2\x19\0\3"
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[34377] = b"8BIM\4\4\0\0\0\0\0\x0f" + keyword + second
        if first:
            tags[33723] = keyword + first
        tags.tagtype |= {34377: 1, 33723: 7}
        return make(samples, album / name, tiffinfo=tags)

    same = plan(photo("same.tif", b"Oma", b"Oma"), child, "cat")
    assert same.content is not None
    assert same.change.added["IPTC:Keywords"] == ("cat",)
    assert "two IPTC records" in refused(photo("other.tif", b"Oma", b"Opa"), child)
    # ExifTool makes the other one, too.
    assert "two IPTC records" in refused(photo("one.tif", b"", b"Opa"), child)


def test_what_is_refused_gets_a_sidecar_and_one_line_in_the_log(
    scan: Scan, configure: Configure, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    photos = [put("china", f"{name}.jpg") for name in "ab"]
    for photo in photos:
        photo.chmod(0o444)
    before = [photo.read_bytes() for photo in photos]
    with caplog.at_level(logging.WARNING):
        assert len(written(scan(configure(write="embed")))) == 2
    assert [photo.read_bytes() for photo in photos] == before
    assert all(photo.with_name(photo.name + ".xmp").exists() for photo in photos)
    assert len([r for r in caplog.records if "read-only" in r.getMessage()]) == 1


def test_mode_attributes_and_acl_stay(
    scan: Scan, configure: Configure, put: Put, exiftool: Read
) -> None:
    photo = put("cat", "cat.png")  # it has XMP without a wrapper
    photo.chmod(0o640)
    os.setxattr(photo, "user.colour", b"blue")
    scan(configure(write="embed"))
    assert subject(exiftool, photo)
    assert photo.stat().st_mode & 0o777 == 0o640
    assert os.getxattr(photo, "user.colour") == b"blue"


def test_changing_the_mode_moves_the_keywords(
    scan: Scan, configure: Configure, put: Put, exiftool: Read, tagger: CountingTagger
) -> None:
    photo = put("china", "a.jpg")
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject=Oma", photo)
    original = photo.read_bytes()
    sidecar = photo.with_name("a.jpg.xmp")
    scan(configure())
    tags = subject(exiftool, sidecar)
    assert tags[0] == "Oma"
    assert len(tags) > 1
    scan(configure(write="embed"))
    assert subject(exiftool, photo) == tags
    assert not sidecar.exists()
    scan(configure(write="sidecar"))
    assert subject(exiftool, sidecar) == tags
    assert subject(exiftool, photo) == ["Oma"]
    take_back(configure(), photo)
    assert not sidecar.exists()
    assert photo.read_bytes() == original
    assert tagger.inferred == 1


def test_settings_reach_embedded_keywords_too(
    scan: Scan, configure: Configure, put: Put, exiftool: Read
) -> None:
    photo = put("cat", "cat.png")
    config = configure(write="embed")
    scan(config)
    tags = subject(exiftool, photo)
    scan(changed(config, deny=("cat",)))
    assert subject(exiftool, photo) == [tag for tag in tags if tag != "cat"]


@pytest.mark.parametrize("content", [None, b"no photo at all", b"\xff\xd8\xff\xe0 cut off"])
def test_a_photo_that_changed_since_it_was_tagged_is_not_written(
    child: ExifTool, put: Put, content: bytes | None
) -> None:
    """Whatever it is now: a sidecar instead would get the keywords of another picture."""
    photo = put("china", "a.jpg")
    known = Fingerprint.of(photo.lstat())
    if content is None:
        os.utime(photo, ns=(1, 1))
    else:
        photo.write_bytes(content)
    with pytest.raises(ChangedError):
        plan_photo(
            PlanRequest(photo, [Tag("cat", 1)], Origin("m", "1"), UnixTime(0)),
            Recorded(),
            child,
            known=known,
        )


@pytest.mark.parametrize(
    "options",
    [{"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"save_all": True}],
    ids=["pixels first", "strips of JPEG", "two pages"],
)
def test_undo_gives_back_a_tiff_of_any_layout(
    options: dict[str, object], scan: Scan, configure: Configure, album: Path,
    samples: dict[str, Path], exiftool: Read,
) -> None:  # fmt: skip
    with Image.open(samples["china"]) as image:
        pages = [image.resize((300, 200))] if "save_all" in options else []
    photo = make(samples, album / "a.tif", **options, append_images=pages)
    before = photo.read_bytes()
    config = configure(write="embed")
    scan(config)
    scan(changed(config, deny=("animal",)))
    assert "cat" in subject(exiftool, photo)
    take_back(config, photo)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp_is_rewritten_exactly(
    tmp_path: Path, samples: dict[str, Path], lossless: bool, alpha: bool, exiftool: Read
) -> None:
    photo = tmp_path / "a.webp"
    with Image.open(samples["cat"]) as image:
        picture = image.convert("RGB")
        if alpha:
            picture.putalpha(picture.convert("L"))
        picture.save(photo, lossless=lossless)
    before = photo.read_bytes()
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><!-- odd --></x:xmpmeta>"
    new = containers.rewrite_webp(before, packet, picture.size)
    assert containers.layout(new, "WEBP").packets == (packet,)
    assert containers.layout(new, "WEBP").rest == containers.layout(before, "WEBP").rest
    assert containers.rewrite_webp(new, b"", picture.size) == before
    photo.write_bytes(new)
    with Image.open(photo) as image:
        assert image.mode == picture.mode
        assert image.info["xmp"] == packet
    assert "WEBP" in exiftool("-FileType", photo)


@pytest.mark.parametrize("extension", ["heic", "avif", "tif"])
def test_an_edit_after_ours_is_kept_where_the_original_was_remembered(
    extension: str, scan: Scan, configure: Configure, album: Path, samples: dict[str, Path],
    exiftool: Read,
) -> None:  # fmt: skip
    photo = make(samples, album / f"a.{extension}")
    before = photo.read_bytes()
    config = configure(write="embed")
    scan(config)
    scan(changed(config, deny=("cat",)))
    take_back(config, photo)
    assert photo.read_bytes() == before
    ask_again(config, photo)
    scan(config)
    exiftool("-q", "-overwrite_original", "-XMP:Rating=4", photo)
    scan(config)
    take_back(config, photo)
    assert exiftool("-s3", "-XMP:Rating", photo) == "4\n"
    assert subject(exiftool, photo) == []


# A sidecar that would hide what is inside


def test_a_sidecar_with_keywords_of_the_users_gets_the_new_ones_too(
    scan: Scan, configure: Configure, put: Put, album: Path, exiftool: Read,
    tagger: CountingTagger, samples: dict[str, Path],
) -> None:  # fmt: skip
    photo, sidecar = put("china", "a.jpg"), album / "a.jpg.xmp"
    sidecar.write_bytes(add_subjects(None, ["Oma"]) or b"")
    plain = make(samples, album / "b.png")
    (album / "b.png.xmp").write_bytes(EMPTY_PACKET)
    before = {path: path.read_bytes() for path in album.iterdir()}
    config = configure(write="embed")
    # Both files of a photo are one outcome.
    outcomes = scan(config)
    assert sorted((each.path.name, each.state, each.inferred) for each in outcomes) == [
        ("a.jpg", "written", True),
        ("b.png", "written", True),
    ]
    assert "building" in subject(exiftool, photo)
    assert subjects(sidecar.read_bytes()) == ("Oma", *subject(exiftool, photo))
    # One without keywords hides nothing.
    assert subject(exiftool, plain)
    assert (album / "b.png.xmp").read_bytes() == EMPTY_PACKET
    after = snapshot(album)
    assert scan(config) == []
    assert snapshot(album) == after
    # What was taken out of one goes from the other, and comes to neither.
    sidecar.write_bytes(remove_subjects(sidecar.read_bytes(), ["building"]))
    ask_again(config, photo)
    scan(config)
    ask_again(config, photo)
    scan(config)
    assert "building" not in subject(exiftool, photo)
    assert "building" not in subjects(sidecar.read_bytes())
    assert tagger.inferred == 2
    take_back(config, album)
    assert {path: path.read_bytes() for path in album.iterdir()} == before


def test_without_keywords_of_the_users_ours_leave_the_sidecar(
    scan: Scan, configure: Configure, put: Put, album: Path, exiftool: Read
) -> None:
    photo, sidecar = put("cat", "a.png"), album / "a.png.xmp"
    sidecar.write_bytes(add_subjects(None, ["Oma"]) or b"")
    config = configure(write="embed")
    scan(config)
    sidecar.write_bytes(remove_subjects(sidecar.read_bytes(), ["Oma"]))
    ask_again(config, photo)
    scan(config)
    assert "cat" in subject(exiftool, photo)
    assert not sidecar.exists()


def test_what_was_taken_out_of_a_photo_does_not_come_back_in_a_sidecar(
    scan: Scan, configure: Configure, put: Put, album: Path, exiftool: Read
) -> None:
    photo = put("cat", "a.png")
    scan(configure(write="embed"))
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject-=cat", photo)
    scan(configure(write="embed"))
    scan(configure(write="sidecar"))
    assert "cat" not in subjects((album / "a.png.xmp").read_bytes())


def test_what_a_newer_mark_leaves_out_is_the_users_in_every_field(
    child: ExifTool, exiftool: Read, samples: dict[str, Path], tmp_path: Path
) -> None:
    photo = make(samples, tmp_path / "a.jpg")
    cat, dog = Tag("cat", 0.9), Tag("dog", 0.8)

    def planned(tags: list[Tag], recorded: Recorded, now: float, *, is_undo: bool = False) -> Plan:
        origin, create = Origin("model", "1"), ["IPTC:Keywords"]
        request = PlanRequest(photo, tags, origin, UnixTime(now), create, is_undo)
        return plan_photo(request, recorded, child)

    first = planned([cat, dog], Recorded(), 100)
    photo.write_bytes(first.content or b"")
    old = Recorded(first.change.added, until=100)
    photo.write_bytes(planned([cat], old, 200).content or b"")
    # We took it out; the user knew better, and then an old database was restored.
    edit = ("-XMP-dc:Subject+=dog", "-IPTC:Keywords+=dog")
    exiftool("-q", "-overwrite_original", *edit, photo)
    again = planned([cat, dog], old, 300)
    assert again.content is None
    assert again.change.removed == {"dc:subject": ("dog",), "IPTC:Keywords": ("dog",)}
    photo.write_bytes(planned([], old, 400, is_undo=True).content or b"")
    for field in ("XMP-dc:Subject", "IPTC:Keywords"):
        assert exiftool("-s3", "-sep", "##", f"-{field}", photo) == "dog\n"
