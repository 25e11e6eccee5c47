"""Photos as real cameras and phones write them, with the real ExifTool."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.clock import UnixTime
from photoramd.errors import EmbeddingError
from photoramd.images.decoder import decode
from photoramd.metadata import containers, embedded, pointers
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.photo import Tag
from tests.support import jpegs
from tests.support.clock import bound
from tests.support.embedding import embed, plan, undo
from tests.support.files import OWN_SIDECAR
from tests.support.heic import heic, with_gain_map
from tests.support.xmp import add_subjects, subjects

Read = Callable[..., str]

PHONE_XMP = OWN_SIDECAR.format(word="Oma").encode() + b"\0"
"""A packet that ends in a zero, as an iPhone writes it."""


@pytest.fixture(scope="module")
def child() -> Iterator[ExifTool]:
    with ExifTool() as opened:
        yield opened


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tmp_path / "photo.jpg"


def words(exiftool: Read, photo: Path) -> list[str]:
    return exiftool("-s3", "-sep", "##", "-XMP-dc:Subject", photo).strip("\n").split("##")


def refused(photo: Path, child: ExifTool) -> str:
    before = photo.read_bytes()
    with pytest.raises(EmbeddingError) as caught:
        plan(photo, [Tag("cat", 0.9)], child)
    assert photo.read_bytes() == before
    return caught.value.message


def test_a_maker_note_is_not_rewritten(photo: Path, child: ExifTool, exiftool: Read) -> None:
    photo.write_bytes(before := jpegs.canon())
    exif = containers.layout(before, "JPEG").rest[0]
    recorded = embed(photo, child, "cat")
    assert words(exiftool, photo) == ["cat"]
    assert exif in photo.read_bytes()
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_a_preview_that_is_found_by_its_place_is_not_lost(
    photo: Path, child: ExifTool, exiftool: Read
) -> None:
    photo.write_bytes(jpegs.minolta())
    assert exiftool("-Minolta:PreviewImage", photo) != ""
    assert "another image in the file" in refused(photo, child)
    elsewhere = jpegs.minolta().replace(b"MLT0", b"MLT1")[: -len(jpegs.picture(16, "olive"))]
    photo.write_bytes(elsewhere)  # the preview was cut off by another program
    embed(photo, child, "cat")
    assert words(exiftool, photo) == ["cat"]


def test_the_second_picture_of_a_pair_is_still_found(
    photo: Path, child: ExifTool, exiftool: Read, tmp_path: Path
) -> None:
    photo.write_bytes(before := jpegs.multi_picture())
    second = exiftool("-b", "-MPImage2", "-W!", f"{tmp_path}/before", photo)
    recorded = embed(photo, child, "cat")
    exiftool("-b", "-MPImage2", "-W!", f"{tmp_path}/after", photo)
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes() != b"", second
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_a_trailer_with_places_in_the_file_is_left_alone(photo: Path, child: ExifTool) -> None:
    # AFCP: its own address, twice, and that of its one record (ExifTool's AFCP tables).
    image = jpegs.picture()
    iptc = b"\x1c\x02\x78\0\5Title"
    head = struct.pack(">4sHH4x4sII", b"AXS!", 1, 1, b"IPTC", len(iptc), len(image) + 24)
    trailer = head + iptc + struct.pack(">4sI4x", b"AXS!", len(image))
    photo.write_bytes(image + trailer)
    assert "after its pixels" in refused(photo, child)


def test_data_behind_the_pixels_that_knows_no_place_stays(
    photo: Path, child: ExifTool, exiftool: Read
) -> None:
    photo.write_bytes(before := jpegs.picture() + b"a note of some program")
    recorded = embed(photo, child, "cat")
    assert words(exiftool, photo) == ["cat"]
    assert photo.read_bytes().endswith(b"\xff\xd9a note of some program")
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0\0", b" \n\0"])
def test_zeros_behind_the_xmp_of_a_phone_stay(
    photo: Path, child: ExifTool, exiftool: Read, tail: bytes
) -> None:
    packet = PHONE_XMP.rstrip(b"\0") + tail
    photo.write_bytes(before := jpegs.with_xmp(jpegs.picture(), packet))
    recorded = embed(photo, child, "cat")
    assert words(exiftool, photo) == ["Oma", "cat"]
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_heic_with_a_zero_behind_its_xmp_is_embedded_into(
    tmp_path: Path, child: ExifTool, exiftool: Read
) -> None:
    photo = tmp_path / "IMG_0001.HEIC"
    photo.write_bytes(before := heic(PHONE_XMP))
    recorded = embed(photo, child, "cat")
    assert words(exiftool, photo) == ["Oma", "cat"]
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_a_sidecar_with_zeros_at_its_end_is_added_to() -> None:
    after = add_subjects(PHONE_XMP, ["cat"])
    assert after is not None
    assert after.endswith(b"\0")
    assert subjects(after) == ("Oma", "cat")


def test_the_xmp_of_a_gain_map_is_not_the_photos(
    tmp_path: Path, child: ExifTool, exiftool: Read
) -> None:
    photo = tmp_path / "IMG_0002.HEIC"
    photo.write_bytes(before := with_gain_map())
    shown = exiftool("-G3:1", "-a", "-XMP-HDRGainMap:all", "-Doc1:XMP-dc:all", photo)
    assert "gain map" in shown
    recorded = embed(photo, child, "cat")
    assert exiftool("-s3", "-Main:XMP-dc:Subject", photo) == "cat\n"
    after = exiftool("-G3:1", "-a", "-XMP-HDRGainMap:all", "-Doc1:XMP-dc:all", photo)
    assert after == shown
    decode(photo, side=16, max_pixels=10_000)
    undo(photo, child, recorded)
    assert photo.read_bytes() == before
    assert embedded.read_keywords(photo) == ()
    planned = plan_sidecar(PlanRequest(photo, [Tag("cat", 0.9)], Origin("m", "1"), UnixTime(0.0)))
    assert planned.content is not None
    assert b"gain map" not in planned.content
    assert subjects(planned.content) == ("cat",)


@pytest.mark.parametrize(
    "packet",
    [
        OWN_SIDECAR.format(word="Oma"),
        f'<?xpacket begin="" id="x"?>{OWN_SIDECAR.format(word="Oma")}{" " * 2000}'
        '<?xpacket end="r"?>',
    ],
)
def test_a_packet_of_the_users_is_given_back_as_it_was(
    photo: Path, child: ExifTool, packet: str
) -> None:
    # ExifTool would wrap it in the way of its own.
    photo.write_bytes(before := jpegs.with_xmp(jpegs.picture(), packet.encode()))
    recorded = embed(photo, child, "cat")
    recorded = embed(photo, child, "cat", "dog", recorded=recorded)
    assert photo.read_bytes() != before
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_iptc_is_given_back_as_it_was(photo: Path, child: ExifTool, exiftool: Read) -> None:
    # Without the envelope and the version that ExifTool adds and drops.
    record = b"\x1c\x02\x19\0\3Opa" + b"\x1c\x02\x69\0\5Title"
    record += b"\0" * (len(record) % 2)
    block = b"8BIM\4\4\0\0" + struct.pack(">I", len(record)) + record
    photo.write_bytes(
        before := jpegs.with_segments(
            jpegs.picture(), jpegs.segment(0xED, b"Photoshop 3.0\0" + block)
        )
    )
    recorded = embed(photo, child, "cat", "Küche")
    assert exiftool("-s3", "-sep", "|", "-charset", "iptc=UTF8", "-IPTC:Keywords", photo) == (
        "Opa|cat|Küche\n"
    )
    undo(photo, child, recorded)
    assert photo.read_bytes() == before


def test_resources_of_other_programs_are_compared_too() -> None:
    ours = b"8BIM\4\4\0\0" + struct.pack(">I", 4) + b"\x1c\x02\x19\0"
    theirs = b"AgHg\4\5\0\0" + struct.pack(">I", 4) + b"kept"
    both, one = (
        containers.layout(
            jpegs.with_segments(jpegs.picture(), jpegs.segment(0xED, b"Photoshop 3.0\0" + content)),
            "JPEG",
        )
        for content in (ours + theirs, ours)
    )
    assert both.iptc == one.iptc
    assert both.rest != one.rest


def test_an_edit_after_us_is_kept_when_ours_is_taken_out(
    photo: Path, child: ExifTool, exiftool: Read
) -> None:
    photo.write_bytes(jpegs.with_xmp(jpegs.canon(), PHONE_XMP))
    recorded = embed(photo, child, "cat")
    exiftool("-q", "-overwrite_original", "-XMP-xmp:Rating=4", photo)
    undo(photo, child, recorded)
    assert words(exiftool, photo) == ["Oma"]
    assert exiftool("-s3", "-XMP-xmp:Rating", photo) == "4\n"


@pytest.mark.parametrize(
    ("xmp", "said"),
    [
        (b"<x:xmpmeta", "its XMP is not well-formed XML"),
        (b"<!DOCTYPE a><a/>", "its XMP has a DOCTYPE"),
        (b"<a/>", "its XMP is not XMP"),
    ],
)
def test_what_is_said_of_a_photo_speaks_of_no_sidecar(
    photo: Path, child: ExifTool, xmp: bytes, said: str
) -> None:
    photo.write_bytes(jpegs.with_xmp(jpegs.picture(), xmp))
    message = refused(photo, child)
    assert said in message
    assert "sidecar" not in message


def test_packets_are_cut_out_to_the_byte() -> None:
    plain = jpegs.canon()
    assert containers.without_packet(jpegs.with_xmp(plain, b"<x/>"), "JPEG") == plain
    assert containers.without_packet(plain, "JPEG") == plain


@pytest.mark.parametrize(
    ("data", "has_some", "is_in_exif"),
    [
        (jpegs.canon(), False, False),
        (jpegs.canon() + bytes(100_000), False, False),
        (jpegs.canon() + b"a note", True, False),
        (jpegs.multi_picture(), True, False),
        (jpegs.minolta(), True, True),
        (jpegs.canon() + jpegs.picture(16), True, False),
    ],
)
def test_what_is_found_by_its_place(data: bytes, has_some: bool, is_in_exif: bool) -> None:
    assert containers.places(data) == containers.Places(has_some, is_in_exif)


def test_photoshops_thumbnail_is_found_from_within() -> None:
    content = jpegs.picture(16)
    block = b"8BIM\4\x0c\0\0" + struct.pack(">I", len(content)) + content
    data = jpegs.with_segments(jpegs.canon(), jpegs.segment(0xED, b"Photoshop 3.0\0" + block))
    assert containers.places(data) == containers.Places(has_some=False, is_in_exif=False)


def test_a_file_of_nothing_but_beginnings_of_images_is_refused_soon(
    photo: Path, child: ExifTool
) -> None:
    photo.write_bytes(jpegs.canon() + b"\xff\xd8\xff\xdb" * 4_000_000)
    began = time.monotonic()
    assert "another image in the file" in refused(photo, child)
    assert time.monotonic() - began < bound(20)


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_offset_from_the_start_of_a_maker_note_leads_out_too(order: str) -> None:
    note = 8 + 2 + 12 + 4
    for base in (0, 12, 12 + note, 12 + note + 10):
        kind = struct.pack(f"{order}HHII", 0x0088, 4, 1, 200 - base)
        exif = struct.pack("<2sHIH", b"II", 42, 8, 1)
        exif += struct.pack("<HHII", 0x927C, 7, len(kind), note) + bytes(4) + kind
        assert pointers.lead_out(exif, 12, [200]), base
        assert not pointers.lead_out(exif, 12, [201, 900]), base
