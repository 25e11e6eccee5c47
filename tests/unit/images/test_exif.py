"""What EXIF says of a photo, and what it says senselessly."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from photoramd.images.exif import look, read, read_block
from photoramd.photo import Look
from tests.support.exif import (
    ASCII,
    BYTE,
    DOUBLE,
    FLOAT,
    LETTERS,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    SSHORT,
    UNDEFINED,
    Entry,
    exif,
    ratio,
    text,
)

MAKE, MODEL, DATE_TIME = 0x010F, 0x0110, 0x0132
ORIGINAL, DIGITIZED, EXPOSURE, F, ISO = 0x9003, 0x9004, 0x829A, 0x829D, 0x8827
TV, AV, MM, LENS_NUMBERS, LENS_MAKE, LENS = 0x9201, 0x9202, 0x920A, 0xA432, 0xA433, 0xA434
PART, OFFSET = 0x9291, 0x9011
LAT_REF, LAT, LON_REF, LON = 1, 2, 3, 4

IMAGE = [text(MAKE, "Canon"), text(MODEL, "Canon EOS R6"), text(DATE_TIME, "2024:01:01 00:00:00")]
PHOTO = [
    text(ORIGINAL, "2023:07:08 09:10:11"),
    text(PART, "25"),
    text(OFFSET, "+02:00"),
    ratio(EXPOSURE, 1, 250),
    ratio(F, 56, 10),
    Entry(ISO, SHORT, [400]),
    ratio(MM, 35, 1),
    text(LENS, "RF35mm F1.8 MACRO IS STM"),
]
GPS = [
    text(LAT_REF, "N"),
    ratio(LAT, 48, 1, 51, 1, 30, 1),
    text(LON_REF, "W"),
    ratio(LON, 2, 1, 17, 1, 40, 1),
]
WHOLE = Look(
    6000,
    4000,
    "JPEG",
    taken=datetime(2023, 7, 8, 9, 10, 11, 250_000, UTC).timestamp(),
    tz=120,
    camera="Canon EOS R6",
    lens="RF35mm F1.8 MACRO IS STM",
    iso=400,
    f=5.6,
    exposure=1 / 250,
    mm=35.0,
    lat=48 + 51 / 60 + 30 / 3600,
    lon=-(2 + 17 / 60 + 40 / 3600),
)


def seen(block: bytes) -> Look:
    return look((6000, 4000), "JPEG", read_block(block))


def only(photo: Sequence[Entry] = (), *, image: Sequence[Entry] = ()) -> Look:
    return seen(exif(image, photo))


def place(
    lat: Entry, lon: Entry, lat_ref: Entry = GPS[0], lon_ref: Entry = GPS[2]
) -> tuple[float | None, float | None]:
    found = seen(exif(gps=[lat_ref, lat, lon_ref, lon]))
    return found.lat, found.lon


def unix(*numbers: int) -> float:
    return datetime(*numbers, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


# --- The block ---


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0", b"\0\0\0\0"])
def test_everything_is_read(order: str, prefix: bytes) -> None:
    assert seen(prefix + exif(IMAGE, PHOTO, GPS, order=order)) == WHOLE


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_is_read(order: str) -> None:
    block = exif(IMAGE, PHOTO, GPS, order=order, big=True)
    assert look((6000, 4000), "JPEG", read(io.BytesIO(block))) == WHOLE


def test_no_block_says_nothing() -> None:
    for block in (b"", b"Exif\0\0", b"II", b"MM\0*", b"hello", bytes(100), exif()):
        found = read_block(block)
        assert not found
        assert look((3, 2), "PNG", found) == Look(3, 2, "PNG")


def test_what_belongs_to_the_shot_may_be_in_the_first_directory() -> None:
    assert seen(exif([*IMAGE, *PHOTO], gps=GPS)) == WHOLE


def test_a_block_that_is_cut_off_says_what_is_there() -> None:
    block = exif(IMAGE, PHOTO, GPS)
    for end in range(len(block)):
        found = seen(block[:end])
        for name in Look.__slots__:
            value = getattr(found, name)
            if name not in ("camera", "lens", "taken", "tz"):
                assert value in (None, getattr(WHOLE, name)), (end, name)


def test_directories_in_a_loop_end() -> None:
    block = bytearray(exif(IMAGE, [*PHOTO, Entry(0x8769, LONG, [8])], [*GPS]))
    first = struct.unpack_from("<I", block, 4)[0]
    for tag in (0x8769, 0x8825):
        at = block.index(struct.pack("<HHI", tag, LONG, 1), first)
        struct.pack_into("<I", block, at + 8, first)
    found = seen(bytes(block))
    assert found.camera == "Canon EOS R6"
    assert (found.iso, found.lat) == (None, None)


@pytest.mark.parametrize("position", [0, 1, 7, 0xFFFFFFFF])
def test_a_directory_that_is_nowhere_costs_itself(position: int) -> None:
    pointers = [Entry(0x8769, LONG, [position]), Entry(0x8825, LONG, [position])]
    assert seen(exif([*IMAGE, *pointers])).camera == "Canon EOS R6"


def test_a_directory_of_a_bigtiff_beyond_all_files_is_none() -> None:
    block = b"II+\0\x08\0\0\0" + b"\xff" * 8
    assert not read(io.BytesIO(block))


def test_of_a_tag_that_occurs_twice_the_first_counts() -> None:
    assert only([Entry(ISO, SHORT, [100]), Entry(ISO, SHORT, [200])]).iso == 100


# --- Hostile values cost only themselves ---

_TAGS = [e.tag for e in (*IMAGE, *PHOTO, *GPS)]


@pytest.mark.parametrize("bad", range(len(IMAGE) + len(PHOTO) + len(GPS)))
@pytest.mark.parametrize("kind", [*LETTERS, ASCII, UNDEFINED, 0, 99, 129, 0xFFFF])
def test_a_value_of_the_wrong_type_costs_no_other(bad: int, kind: int) -> None:
    entries = [*IMAGE, *PHOTO, *GPS]
    entries[bad] = Entry(entries[bad].tag, kind, b"\0\0\0\x01\xff\0\x80\x7f" * 3, count=3)
    found = seen(
        exif(
            entries[: len(IMAGE)],
            entries[len(IMAGE) : len(IMAGE) + len(PHOTO)],
            entries[len(IMAGE) + len(PHOTO) :],
        )
    )
    changed = {name for name in Look.__slots__ if getattr(found, name) != getattr(WHOLE, name)}
    allowed = {
        MAKE: {"camera"}, MODEL: {"camera"}, DATE_TIME: set(), ORIGINAL: {"taken", "tz"},
        PART: {"taken"}, OFFSET: {"tz"}, EXPOSURE: {"exposure"}, F: {"f"}, ISO: {"iso"},
        MM: {"mm"}, LENS: {"lens"},
    }  # fmt: skip
    assert changed <= allowed.get(entries[bad].tag, {"lat", "lon"})


@given(
    tag=st.sampled_from(_TAGS),
    kind=st.integers(0, 20),
    data=st.binary(max_size=40),
    count=st.none() | st.integers(0, 0xFFFFFFFF),
)
def test_whatever_a_value_is_the_look_makes_sense(
    tag: int, kind: int, data: bytes, count: int | None
) -> None:
    bad = Entry(tag, kind, data, count)
    parts = [[bad if each.tag == tag else each for each in part] for part in (IMAGE, PHOTO, GPS)]
    assert_makes_sense(seen(exif(*parts)))


@given(st.data())
def test_whatever_bytes_are_changed_the_look_makes_sense(data: st.DataObject) -> None:
    block = bytearray(exif(IMAGE, PHOTO, GPS, order=data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 8))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    assert_makes_sense(seen(bytes(block)))


@given(st.binary(max_size=300))
@example(b"II*\0\x08\0\0\0\xff\xff")
def test_any_bytes_give_a_look(block: bytes) -> None:
    for start in (b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"):
        assert_makes_sense(look((1, 1), "TIFF", read(io.BytesIO(start + block))))


def assert_makes_sense(found: Look) -> None:
    numbers = (found.taken, found.f, found.exposure, found.mm, found.lat, found.lon)
    assert all(math.isfinite(number) for number in numbers if number is not None)
    assert found.taken is None or unix(1800, 1, 1) <= found.taken < unix(2201, 1, 1)
    assert found.tz is None or (found.taken is not None and abs(found.tz) <= 840)
    assert all(n is None or n > 0 for n in (found.iso, found.f, found.exposure, found.mm))
    assert (found.lat is None) == (found.lon is None)
    assert found.lat is None or (abs(found.lat) <= 90 and abs(found.lon or 0) <= 180)
    for name in (found.camera, found.lens):
        assert name is None or (0 < len(name) <= 100 and name.isprintable())
        assert name is None or name == " ".join(name.split())
        assert name is None or name.encode()


# --- Time ---


def test_the_time_of_the_shot_comes_before_those_of_scanning_and_of_changing() -> None:
    changed, scanned = (
        text(DATE_TIME, "2003:03:03 03:03:03"),
        text(DIGITIZED, "2002:02:02 02:02:02"),
    )
    shot = text(ORIGINAL, "2001:01:01 01:01:01")
    assert only([scanned, shot], image=[changed]).taken == unix(2001, 1, 1, 1, 1, 1)
    assert only([scanned], image=[changed]).taken == unix(2002, 2, 2, 2, 2, 2)
    assert only(image=[changed]).taken == unix(2003, 3, 3, 3, 3, 3)


@pytest.mark.parametrize(
    "senseless",
    ["0000:00:00 00:00:00", "    :  :     :  :  ", "2001:13:01 00:00:00", "1799:12:31 23:59:59"],
)
def test_a_senseless_time_gives_way_to_the_next(senseless: str) -> None:
    entries = [text(ORIGINAL, senseless), text(DIGITIZED, "2002:02:02 02:02:02")]
    assert only(entries).taken == unix(2002, 2, 2, 2, 2, 2)


def test_each_time_has_its_own_parts_and_offset() -> None:
    entries = [
        text(DIGITIZED, "2002:02:02 02:02:02"), text(PART, "9"), text(0x9292, "5"),
        text(OFFSET, "+09:00"), text(0x9012, "-03:30"),
    ]  # fmt: skip
    found = only(entries)
    assert (found.taken, found.tz) == (unix(2002, 2, 2, 2, 2, 2) + 0.5, -210)
    entries[0] = text(ORIGINAL, "2002:02:02 02:02:02")
    assert (only(entries).taken, only(entries).tz) == (unix(2002, 2, 2, 2, 2, 2) + 0.9, 540)


@pytest.mark.parametrize("offset", ["", "   :  ", "+25:00", "02:00", "+02:60", "Berlin", "+2"])
def test_a_senseless_offset_costs_itself(offset: str) -> None:
    found = only([PHOTO[0], text(OFFSET, offset)])
    assert (found.taken, found.tz) == (unix(2023, 7, 8, 9, 10, 11), None)


@pytest.mark.parametrize(
    ("part", "seconds"),
    [
        ("5", 0.5),
        ("050", 0.05),
        ("  5  ", 0.5),
        ("", 0),
        ("-1", 0),
        ("٣", 0),
        ("1e9", 0),
        ("9" * 99, 0),
    ],
)
def test_parts_of_seconds_are_digits(part: str, seconds: float) -> None:
    assert only([PHOTO[0], text(PART, part)]).taken == unix(2023, 7, 8, 9, 10, 11) + seconds


# --- Camera and lens ---


def test_texts_are_made_printable() -> None:
    entry = text(MODEL, "\0 E-\tM1\n\x1b[31m  Mark\u00a0II\u202e Cafe\u0301 \0 junk".encode())
    assert only(image=[entry]).camera == "E- M1 [31m Mark II Café"
    assert only(image=[text(MODEL, b"Caf\xe9")]).camera == "Café"
    assert only(image=[Entry(MODEL, 129, "写真機".encode())]).camera == "写真機"
    assert only(image=[Entry(MODEL, UNDEFINED, b"Box")]).camera == "Box"


@pytest.mark.parametrize("letter", ["x", "é", "\0", " ", "𝕏"])
def test_a_megabyte_of_text_is_cut(letter: str) -> None:
    found = only(
        [text(LENS, letter * 1_000_000), PHOTO[0]], image=[text(MODEL, letter * 1_000_000)]
    )
    assert found.camera is None or found.camera == letter * 100
    assert found.lens is None or found.lens == letter * 100
    assert found.taken == unix(2023, 7, 8, 9, 10, 11)


def test_a_lens_has_its_maker_once() -> None:
    assert only([text(LENS_MAKE, "SIGMA"), text(LENS, "35mm F1.4")]).lens == "SIGMA 35mm F1.4"
    assert only([text(LENS_MAKE, "SIGMA"), text(LENS, "Sigma 35mm")]).lens == "Sigma 35mm"
    assert only([text(LENS_MAKE, "SIGMA")]).lens is None
    assert only([text(LENS_MAKE, "SIGMA"), text(LENS, "----")]).lens is None


@pytest.mark.parametrize(
    ("numbers", "lens"),
    [
        ((24, 1, 70, 1, 28, 10, 28, 10), "24-70mm f/2.8"),
        ((24, 1, 105, 1, 35, 10, 56, 10), "24-105mm f/3.5-5.6"),
        ((50, 1, 50, 1, 18, 10, 18, 10), "50mm f/1.8"),
        ((24, 1, 70, 1, 0, 0, 0, 0), "24-70mm"),
        ((0, 0, 0, 0, 28, 10, 28, 10), None),
        ((0, 1, 0, 1, 0, 1, 0, 1), None),
        ((4294967295, 1, 1, 4294967295, 1, 1, 1, 1), None),
        ((24, 1, 70, 1), None),
    ],
)
def test_a_lens_without_a_name_has_its_numbers(numbers: tuple[int, ...], lens: str | None) -> None:
    assert only([ratio(LENS_NUMBERS, *numbers)]).lens == lens
    assert only([text(LENS, " "), ratio(LENS_NUMBERS, *numbers)]).lens == lens
    assert only(image=[ratio(0xC630, *numbers)]).lens == lens  # as in DNG


# --- Numbers ---


@pytest.mark.parametrize(
    ("entries", "iso"),
    [
        ([Entry(ISO, SHORT, [100, 200])], 100),
        ([Entry(ISO, LONG, [102_400])], 102_400),
        ([Entry(ISO, SHORT, [0])], None),
        ([Entry(ISO, SHORT, [0]), Entry(0x8833, LONG, [640])], 640),
        ([Entry(ISO, SHORT, [65535])], None),
        ([Entry(ISO, SHORT, [65535]), Entry(0x8832, LONG, [204_800])], 204_800),
        ([Entry(ISO, SHORT, [65535]), Entry(0x8831, LONG, [0xFFFFFFFF])], None),
        ([Entry(ISO, SSHORT, [-1])], None),
        ([Entry(ISO, DOUBLE, [math.inf])], None),
        ([Entry(ISO, FLOAT, [math.nan])], None),
        ([ratio(ISO, 64, 1)], 64),
        ([text(ISO, "100")], None),
    ],
)
def test_sensitivities(entries: list[Entry], iso: int | None) -> None:
    assert only([*entries, PHOTO[0]]).iso == iso


@pytest.mark.parametrize(
    ("entries", "exposure"),
    [
        ([ratio(EXPOSURE, 10, 600)], 1 / 60),
        ([ratio(EXPOSURE, 30, 1)], 30),
        ([ratio(EXPOSURE, 0, 1)], None),
        ([ratio(EXPOSURE, 1, 0)], None),
        ([ratio(EXPOSURE, 4294967295, 1)], None),
        ([Entry(EXPOSURE, SRATIONAL, [-1, 60])], None),
        ([Entry(EXPOSURE, FLOAT, [0.5])], 0.5),
        ([Entry(EXPOSURE, DOUBLE, [math.nan])], None),
        ([Entry(TV, SRATIONAL, [5, 1])], 1 / 32),
        ([Entry(TV, SRATIONAL, [-2, 1])], 4),
        ([ratio(EXPOSURE, 0, 0), Entry(TV, SRATIONAL, [5, 1])], 1 / 32),
        ([ratio(EXPOSURE, 1, 60), Entry(TV, SRATIONAL, [5, 1])], 1 / 60),
        ([Entry(TV, SRATIONAL, [0, 1])], None),
        ([Entry(TV, SRATIONAL, [-2147483648, 1])], None),
        ([Entry(TV, SRATIONAL, [2147483647, 1])], None),
        ([Entry(TV, SRATIONAL, [-39, 1])], None),
    ],
)
def test_exposures(entries: list[Entry], exposure: float | None) -> None:
    found = only([*entries, PHOTO[0]])
    assert found.exposure == (exposure and pytest.approx(exposure, rel=2e-3))
    assert found.taken


@pytest.mark.parametrize(
    ("entries", "f"),
    [
        ([ratio(F, 28, 10)], 2.8),
        ([ratio(F, 0, 10)], None),
        ([ratio(F, 28, 0)], None),
        ([ratio(F, 4294967295, 1)], None),
        ([ratio(AV, 5, 1)], 5.7),
        ([ratio(AV, 0, 1)], None),
        ([ratio(AV, 40, 1)], None),
        ([ratio(AV, 4294967295, 1)], None),
        ([ratio(F, 0, 0), ratio(AV, 4, 1)], 4.0),
        ([ratio(F, 28, 10, 56, 10)], 2.8),
    ],
)
def test_f_numbers(entries: list[Entry], f: float | None) -> None:
    assert only(entries).f == f


@pytest.mark.parametrize(
    ("entry", "mm"),
    [(ratio(MM, 425, 100), 4.25), (ratio(MM, 0, 1), None), (ratio(MM, 50, 0), None),
     (ratio(MM, 50_000, 1), None), (Entry(MM, SHORT, [50]), 50), (Entry(MM, RATIONAL, b""), None)],
)  # fmt: skip
def test_focal_lengths(entry: Entry, mm: float | None) -> None:
    assert only([entry]).mm == mm


# --- Place ---

EAST = text(LON_REF, "E")


def test_places() -> None:
    sydney = ratio(LAT, 33, 1, 5152, 100, 0, 1), ratio(LON, 151, 1, 0, 1, 0, 1)
    lat, lon = place(*sydney, text(LAT_REF, "S"), EAST)
    assert (lat, lon) == (pytest.approx(-33.858667, abs=1e-6), 151.0)
    # Decimal degrees, in one number; and the equator.
    assert place(ratio(LAT, 0, 1), ratio(LON, 12_345_678, 1_000_000)) == (0.0, -12.345678)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (ratio(LAT, 91, 1, 0, 1, 0, 1), GPS[3]),
        (ratio(LAT, 90, 1, 1, 1, 0, 1), GPS[3]),
        (GPS[1], ratio(LON, 181, 1, 0, 1, 0, 1)),
        (ratio(LAT, 0, 1, 0, 1, 0, 1), ratio(LON, 0, 1, 0, 1, 0, 1)),
        (ratio(LAT, 0, 0, 0, 0, 0, 0), GPS[3]),
        (ratio(LAT, 1, 48, 1, 51, 1, 30), ratio(LON, 1, 2, 1, 17, 1, 40)),
        (ratio(LAT, 48, 1, 61, 1, 0, 1), GPS[3]),
        (ratio(LAT, 48, 1, 51, 1, 3000, 1), GPS[3]),
        (Entry(LAT, SRATIONAL, [-48, 1, 0, 1, 0, 1]), GPS[3]),
        (Entry(LAT, DOUBLE, [math.nan, 0, 0]), GPS[3]),
        (Entry(LAT, DOUBLE, [math.inf, 0, 0]), GPS[3]),
        (text(LAT, "48.5"), GPS[3]),
        (Entry(LAT, BYTE, b""), GPS[3]),
    ],
)
def test_places_that_are_none(lat: Entry, lon: Entry) -> None:
    assert place(lat, lon) == (None, None)


@pytest.mark.parametrize("ref", ["n", " N", "North"])
def test_sides_may_be_written_in_other_ways(ref: str) -> None:
    assert place(GPS[1], GPS[3], text(LAT_REF, ref))[0] == WHOLE.lat


@pytest.mark.parametrize("ref", ["", " ", "\0", "X", "E", "?"])
def test_a_place_on_an_unknown_side_is_none(ref: str) -> None:
    assert place(GPS[1], GPS[3], text(LAT_REF, ref)) == (None, None)
    assert seen(exif(gps=[GPS[1], GPS[3]])).lat is None


def test_seconds_that_are_not_known_cost_themselves() -> None:
    assert place(ratio(LAT, 48, 1, 30, 1, 0, 0), GPS[3])[0] == 48.5
    assert place(ratio(LAT, 48, 1, 30, 1), GPS[3])[0] == 48.5


def test_entries_are_of_the_kind_that_they_say() -> None:
    """What these tests make is what another program reads."""
    from PIL import ExifTags, Image

    opened: Any = Image.Exif()
    opened.load(exif(IMAGE, PHOTO, GPS))
    assert opened[ExifTags.Base.Model] == "Canon EOS R6"
    assert opened.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == 5.6
    assert opened.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLongitude] == (2, 17, 40)
