"""Times in XMP and IPTC, which count where EXIF says none."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from photoramd.metadata.embedded import Embedded, read
from photoramd.metadata.taken import with_time
from photoramd.photo import Look

LOOK = Look(3, 2, "JPEG")
THEN = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def packet(**values: str) -> bytes:
    attributes = " ".join(f'{name.replace("_", ":")}="{text}"' for name, text in values.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        f' xmlns:xmp="http://ns.adobe.com/xap/1.0/" {attributes}/></rdf:RDF></x:xmpmeta>'
    ).encode()


def found(embedded: Embedded) -> tuple[float | None, int | None]:
    look = with_time(LOOK, embedded)
    return look.taken, look.tz


@pytest.mark.parametrize(
    "name",
    ["exif_DateTimeOriginal", "exif_DateTimeDigitized", "photoshop_DateCreated", "xmp_CreateDate"],
)
def test_xmp_says_when(name: str) -> None:
    said = packet(**{name: "2001-02-03T04:05:06.5+01:00"})
    assert found(Embedded((), packet=said)) == (THEN + 0.5, 60)


def test_the_shot_comes_first_and_the_senseless_last() -> None:
    said = packet(
        xmp_CreateDate="2011-01-01T00:00:00",
        photoshop_DateCreated="2001-02-03T04:05:06",
        exif_DateTimeOriginal="0000-00-00",
    )
    assert found(Embedded((), packet=said)) == (THEN, None)


def test_exif_counts_more() -> None:
    look = Look(3, 2, "JPEG", taken=5.0, tz=None)
    said = packet(exif_DateTimeOriginal="2001-02-03T04:05:06Z")
    assert with_time(look, Embedded((), packet=said)) == look


@pytest.mark.parametrize(
    ("iptc", "expected"),
    [
        ({(2, 55): [b"20010203"], (2, 60): [b"040506+0530"]}, (THEN, 330)),
        ({(2, 55): [b"20010203"], (2, 60): [b"040506"]}, (THEN, None)),
        ({(2, 55): [b"20010203"]}, (THEN - 4 * 3600 - 5 * 60 - 6, None)),
        ({(2, 55): [b"20010203"], (2, 60): [b"junk"]}, (THEN - 4 * 3600 - 5 * 60 - 6, None)),
        ({(2, 55): [b"20010000"], (2, 60): [b"040506"]}, (None, None)),
        ({(2, 55): [b"\xff" * 9000], (2, 60): [b"\0" * 9000]}, (None, None)),
        ({(2, 60): [b"040506"]}, (None, None)),
    ],
)
def test_iptc_says_when(
    iptc: dict[tuple[int, int], list[bytes]], expected: tuple[float | None, int | None]
) -> None:
    assert found(Embedded((), iptc=iptc)) == expected


@pytest.mark.parametrize(
    "said", [b"", b"<x", b"<!DOCTYPE a><a/>", packet()[:200], b"\0" * 99, b" " * (1 << 25)]
)
def test_a_damaged_packet_leaves_the_time_to_iptc(said: bytes) -> None:
    iptc = {(2, 55): [b"20010203"], (2, 60): [b"040506"]}
    assert found(Embedded((), packet=said, iptc=iptc)) == (THEN, None)


def test_what_exiftool_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for written in (
        ["-XMP-exif:DateTimeOriginal=2001:02:03 04:05:06+02:00"],
        ["-XMP-photoshop:DateCreated=2001:02:03 04:05:06+02:00"],
        ["-IPTC:DateCreated=2001:02:03", "-IPTC:TimeCreated=04:05:06+02:00"],
    ):
        Image.new("RGB", (3, 2)).save(path)
        subprocess.run(["exiftool", "-q", "-overwrite_original", *written, path], check=True)
        assert found(read(path)) == (THEN, 120)
