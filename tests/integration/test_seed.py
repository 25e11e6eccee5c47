"""New sidecars show what the photo says of itself, and follow it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photoramd.config.schema import Config
from photoramd.contained.client import Contained
from photoramd.metadata import embedded
from photoramd.metadata.plan_sidecar import plan_found
from tests.support import jpegs
from tests.support.album import Scan, ask_again, keywords, snapshot, take_back
from tests.support.files import sidecar_of
from tests.support.xmp import subjects

Configure = Callable[..., Config]
Put = Callable[[str, str], Path]
Read = Callable[..., str]

THEIRS = [
    "-XMP-xmp:Rating=4",
    "-XMP-xmp:Label=Red",
    "-XMP-dc:Title=Oma im Garten",
    "-XMP-dc:Description=Der erste Sommer & danach",
    "-XMP-dc:Creator=Opa",
    "-XMP-dc:Subject=Oma",
    "-XMP-lr:HierarchicalSubject=Personen|Oma",
    "-XMP-crs:Exposure2012=+0.50",
    "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=600,H=400,Unit=pixel},"
    "RegionList=[{Name=Oma,Type=Face,Area={X=0.5,Y=0.5,W=0.1,H=0.1,Unit=normalized}}]}",
]


def shown(exiftool: Read, path: Path, *tags: str) -> dict[str, Any]:
    (found,) = json.loads(exiftool("-j", "-G1", "-struct", *(tags or ["-XMP:all"]), path))
    ignored = ("SourceFile", "XMP-x:", "XMP-photoramd:")
    return {name: value for name, value in found.items() if not name.startswith(ignored)}


def edit(exiftool: Read, path: Path, *changes: str) -> None:
    exiftool("-q", "-overwrite_original", *changes, path)


@pytest.fixture
def photo(put: Put, exiftool: Read) -> Path:
    path = put("rocket", "a.jpg")
    edit(exiftool, path, *THEIRS)
    return path


def test_everything_in_the_photos_xmp_is_in_a_new_sidecar(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    before, data = shown(exiftool, photo), photo.read_bytes()
    scan(configure())
    after = shown(exiftool, sidecar_of(photo))
    found = after.pop("XMP-dc:Subject")
    assert found[:1] == before.pop("XMP-dc:Subject") == ["Oma"]
    assert "rocket" in found
    paths = after.pop("XMP-lr:HierarchicalSubject")
    assert paths[:1] == before.pop("XMP-lr:HierarchicalSubject") == ["Personen|Oma"]
    assert after == before
    assert photo.read_bytes() == data
    (undone,) = take_back(configure(), photo)
    assert undone.error is None
    assert not sidecar_of(photo).exists()


def test_what_only_iptc_and_exif_say_is_in_a_new_sidecar(
    scan: Scan, configure: Configure, put: Put, exiftool: Read
) -> None:
    photo = put("rocket", "a.jpg")
    edit(exiftool, photo, "-all=", "-IPTC:ObjectName=Start", "-IPTC:Caption-Abstract=Küche",
         "-IPTC:CodedCharacterSet=UTF8", "-IPTC:By-line=Oma", "-IPTC:Keywords=Rakete",
         "-EXIF:Rating=3", "-EXIF:Copyright=© Opa", "-EXIF:ImageDescription=other")  # fmt: skip
    scan(configure())
    found = shown(exiftool, sidecar_of(photo))
    subject = found.pop("XMP-dc:Subject")
    assert subject[0] == "Rakete"
    assert "rocket" in subject
    assert found == {
        "XMP-dc:Title": "Start",
        "XMP-dc:Description": "Küche",
        "XMP-dc:Creator": ["Oma"],
        "XMP-dc:Rights": "© Opa",
        "XMP-xmp:Rating": 3,
    }
    take_back(configure(), photo)
    assert not sidecar_of(photo).exists()


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "heic"])
def test_other_formats_have_their_xmp_in_new_sidecars(
    extension: str, scan: Scan, configure: Configure, put: Put, exiftool: Read, tmp_path: Path
) -> None:
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    packet = tmp_path / "packet.xmp"
    exiftool("-q", "-o", packet, *THEIRS[:6])
    source = put("rocket", "a.jpg")
    photo = source.with_suffix(f".{extension}")
    with Image.open(source) as image:
        image.save(photo, xmp=packet.read_bytes())
        if extension in ("tif", "png"):
            edit(exiftool, photo, *THEIRS[:6])
    source.unlink()
    scan(configure())
    found = shown(exiftool, sidecar_of(photo), "-XMP-xmp:Rating", "-XMP-dc:Title")
    assert found == {"XMP-xmp:Rating": 4, "XMP-dc:Title": "Oma im Garten"}


def test_a_photo_that_says_nothing_gets_a_sidecar_of_keywords_alone(
    scan: Scan, configure: Configure, put: Put, exiftool: Read
) -> None:
    photo = put("rocket", "a.jpg")
    edit(exiftool, photo, "-all=")
    scan(configure())
    assert set(shown(exiftool, sidecar_of(photo))) == {"XMP-dc:Subject"}


def test_what_holds_for_the_photos_file_alone_is_left_out(
    scan: Scan, configure: Configure, put: Put, exiftool: Read
) -> None:
    photo = put("rocket", "a.jpg")
    plain = photo.read_bytes()
    packet = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"
    xmlns:darktable="http://darktable.sf.net/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"
    xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF" darktable:xmp_version="5"
    xmp:Rating="2">
   <darktable:history><rdf:Seq><rdf:li darktable:num="0"/></rdf:Seq></darktable:history>
   <xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource">
    <xmpGImg:image>/9j/</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""
    photo.write_bytes(jpegs.with_xmp(plain, packet.encode()))
    scan(configure())
    assert set(shown(exiftool, sidecar_of(photo))) == {"XMP-dc:Subject", "XMP-xmp:Rating"}


def test_a_later_change_of_the_photos_own_metadata_reaches_the_sidecar(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    scan(configure())
    edit(exiftool, photo, "-XMP-xmp:Rating=1", "-XMP-dc:Title=", "-XMP-dc:Subject=Enkel")
    scan(configure())
    found = shown(exiftool, sidecar_of(photo))
    assert found["XMP-xmp:Rating"] == 1
    assert "XMP-dc:Title" not in found
    assert found["XMP-dc:Subject"][0] == "Enkel"
    assert "rocket" in found["XMP-dc:Subject"]
    take_back(configure(), photo)
    assert not sidecar_of(photo).exists()


def test_a_keyword_that_was_taken_out_stays_out_when_the_sidecar_is_begun_anew(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    scan(configure())
    edit(exiftool, sidecar_of(photo), "-XMP-dc:Subject-=rocket")
    edit(exiftool, photo, "-XMP-xmp:Rating=1")
    scan(configure())
    assert shown(exiftool, sidecar_of(photo))["XMP-xmp:Rating"] == 1
    assert "rocket" not in keywords(photo)
    ask_again(configure(), photo)
    scan(configure())
    assert "rocket" not in keywords(photo)


def test_a_sidecar_that_somebody_else_wrote_to_is_theirs(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    scan(configure())
    edit(exiftool, sidecar_of(photo), "-XMP-xmp:Rating=5")
    edit(exiftool, photo, "-XMP-xmp:Rating=1")
    scan(configure())
    assert shown(exiftool, sidecar_of(photo))["XMP-xmp:Rating"] == 5
    take_back(configure(), photo)
    found = shown(exiftool, sidecar_of(photo))
    assert found["XMP-xmp:Rating"] == 5
    assert found["XMP-dc:Subject"] == ["Oma"]


def test_retag_brings_up_a_sidecar_that_an_earlier_version_made(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # As before, in this process, which is not confined.
        patch.setattr("photoramd.metadata.seed.seed", lambda *_: None)
        patch.setattr(Contained, "plan_sidecar", lambda _, *asked: plan_found(*asked))
        scan(configure())
    assert set(shown(exiftool, sidecar_of(photo))) == {"XMP-dc:Subject"}
    ask_again(configure(), photo)
    scan(configure())
    found = shown(exiftool, sidecar_of(photo))
    assert (found["XMP-xmp:Rating"], found["XMP-dc:Title"]) == (4, "Oma im Garten")
    assert "Personen|Oma" in found["XMP-lr:HierarchicalSubject"]
    take_back(configure(), photo)
    assert not sidecar_of(photo).exists()


def test_nothing_is_written_again_while_nothing_changes(
    scan: Scan, configure: Configure, photo: Path, album: Path
) -> None:
    scan(configure())
    before = snapshot(album)
    ask_again(configure(), photo)
    scan(configure())
    os.utime(photo)
    scan(configure())
    after = snapshot(album)
    assert after["a.jpg.xmp"] == before["a.jpg.xmp"]


def test_another_mode_takes_the_sidecar_away_again(
    scan: Scan, configure: Configure, photo: Path, exiftool: Read
) -> None:
    before = photo.read_bytes()
    scan(configure())
    scan(configure(write="embed"))
    assert not sidecar_of(photo).exists()
    assert "rocket" in exiftool("-XMP-dc:Subject", photo)
    scan(configure())
    assert photo.read_bytes() == before
    assert subjects(sidecar_of(photo).read_bytes())[0] == "Oma"


def test_damaged_xmp_costs_only_what_it_says(
    scan: Scan, configure: Configure, put: Put, exiftool: Read, caplog: pytest.LogCaptureFixture
) -> None:
    photo = put("rocket", "a.jpg")
    plain = photo.read_bytes()
    photo.write_bytes(jpegs.with_xmp(plain, b"<x:xmpmeta"))
    scan(configure())
    assert "rocket" in keywords(photo)
    assert "may be missed" in caplog.text


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_no_pixel_is_decoded_for_a_new_sidecar(
    extension: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image, ImageFile

    source = put("rocket", "a.jpg")
    photo = source.with_suffix(f".{extension}")
    with Image.open(source) as image:
        image.save(photo)
    loaded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: loaded.append(self))
    embedded.read(photo)
    assert loaded == []


def test_xmp_that_is_too_long_for_a_sidecar_costs_no_keyword(
    scan: Scan, configure: Configure, put: Put, exiftool: Read, tmp_path: Path
) -> None:
    source = put("cat", "cat.png")
    text = tmp_path / "long.txt"
    text.write_text("word " * 150_000)
    edit(exiftool, source, f"-XMP-dc:Description<={text}", "-XMP-dc:Subject=Oma")
    scan(configure())
    assert keywords(source)[0] == "Oma"
    assert "cat" in keywords(source)
    assert sidecar_of(source).stat().st_size < 10_000
