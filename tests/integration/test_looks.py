"""What is seen of a photo without its pixels, in every format; ExifTool is the oracle."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from photoramd.errors import DecodeError
from photoramd.images.decoder import decode
from photoramd.images.looks import look_at
from photoramd.images.opener import open_file
from photoramd.images.wall_clock import moment, utc_offset
from photoramd.photo import Look
from tests.support.dng import dng, jpeg
from tests.support.exif import SHORT, Entry, exif, ratio, text
from tests.support.samples import sample_photos

Read = Callable[..., str]

MAX_PIXELS = 1_000_000
SIDE = 1 << 20
SAVED_AS: dict[str, dict[str, Any]] = {
    "a.jpg": {"quality": 90},
    "a.png": {},
    "a.webp": {},
    "a.tif": {"compression": "tiff_lzw"},
    "a.avif": {"speed": 10},
    "a.heic": {},
}
WRITTEN = (
    "-DateTimeOriginal=2019:05:06 07:08:09",
    "-SubSecTimeOriginal=125",
    "-OffsetTimeOriginal=-03:30",
    "-CreateDate=2020:01:01 00:00:00",
    "-ModifyDate=2021:01:01 00:00:00",
    "-Make=NIKON CORPORATION",
    "-Model=NIKON Z 6",
    "-LensModel=NIKKOR Z 24-70mm f/4 S",
    "-ISO=1250",
    "-FNumber=4.5",
    "-ExposureTime=1/60",
    "-FocalLength=35.5",
    "-GPSLatitude=-33.858667",
    "-GPSLatitudeRef=S",
    "-GPSLongitude=151.214028",
    "-GPSLongitudeRef=E",
)


@pytest.fixture(scope="module", autouse=True)
def _heif_encoder() -> None:
    pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def china() -> Image.Image:
    with Image.open(sample_photos()["china"]) as image:
        return image.convert("RGB").resize((96, 64))


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.info = {}
    image.save(path, **SAVED_AS.get(path.name, {}), **options)
    return path


def seen(path: Path, max_pixels: int = MAX_PIXELS) -> Look:
    with open_file(path) as opened:
        return look_at(opened, max_pixels=max_pixels)


def both(path: Path) -> Look:
    """The look, which is the same with and without pixels."""
    found = seen(path)
    for side in (SIDE, 8):
        assert decode(path, side=side, max_pixels=MAX_PIXELS).look == found
    return found


def by_exiftool(exiftool: Read, path: Path) -> dict[str, Any]:
    (found,) = json.loads(exiftool("-j", "-n", path))
    return dict(found)


# --- All formats ---


@pytest.mark.parametrize("name", SAVED_AS)
def test_what_exiftool_writes_is_seen(
    name: str, china: Image.Image, tmp_path: Path, exiftool: Read
) -> None:
    path = saved(china, tmp_path / name)
    exiftool("-q", "-overwrite_original", *WRITTEN, path)
    found, expected = both(path), by_exiftool(exiftool, path)
    seconds, _ = moment(expected["DateTimeOriginal"]) or (0.0, None)
    assert found.taken == seconds + 0.125
    assert found.tz == utc_offset(expected["OffsetTimeOriginal"]) == -210
    assert found.camera == expected["Model"]
    assert found.lens == expected["LensModel"]
    assert found.iso == expected["ISO"]
    assert found.f == expected["FNumber"]
    assert found.exposure == pytest.approx(expected["ExposureTime"])
    assert found.mm == expected["FocalLength"]
    assert found.lat == pytest.approx(expected["GPSLatitude"], abs=1e-9)
    assert found.lon == pytest.approx(expected["GPSLongitude"], abs=1e-9)
    assert (found.width, found.height) == (expected["ImageWidth"], expected["ImageHeight"])


@pytest.mark.parametrize("name", [*SAVED_AS, "a.bmp", "a.gif"])
def test_a_photo_without_exif_has_its_size_and_format(
    name: str, china: Image.Image, tmp_path: Path
) -> None:
    formats = {"a.jpg": "JPEG", "a.tif": "TIFF", "a.heic": "HEIF"}
    format_ = formats.get(name, name[2:].upper())
    assert both(saved(china, tmp_path / name)) == Look(96, 64, format_)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", SAVED_AS)
def test_sizes_are_those_of_the_upright_photo(
    name: str, orientation: int, china: Image.Image, tmp_path: Path
) -> None:
    options = Image.Exif()
    options[274] = orientation
    given = options if name == "a.tif" else options.tobytes()
    found = both(saved(china, tmp_path / name, exif=given))
    turned = orientation >= 5
    assert (found.width, found.height) == ((64, 96) if turned else (96, 64))


def test_photos_of_others_are_seen_as_exiftool_sees_them(exiftool: Read) -> None:
    for path in sample_photos().values():
        found, expected = seen(path), by_exiftool(exiftool, path)
        size = (expected["ImageWidth"], expected["ImageHeight"])
        assert (found.width, found.height) == (
            size[::-1] if expected.get("Orientation", 1) >= 5 else size
        )
        assert found.format == expected["FileType"]
        cameras = exiftool("-s3", "-EXIF:Make", "-EXIF:Model", path)
        assert (found.camera is None) == (not cameras)


@pytest.mark.parametrize("name", SAVED_AS)
def test_too_large_a_photo_is_refused(name: str, china: Image.Image, tmp_path: Path) -> None:
    path = saved(china, tmp_path / name)
    seen(path, 96 * 64)
    with pytest.raises(DecodeError, match="more than the limit"):
        seen(path, 96 * 64 - 1)


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("hello")
    with pytest.raises(DecodeError, match="text"):
        seen(path)


# --- Without pixels ---

ENTRIES = ([text(272, "Box"), Entry(274, SHORT, [6])], [ratio(0x829D, 28, 10)])


def test_a_jpeg_without_pixels_is_seen(china: Image.Image, tmp_path: Path) -> None:
    path = saved(china, tmp_path / "a.jpg", exif=b"Exif\0\0" + exif(*ENTRIES))
    content = path.read_bytes()
    whole = both(path)
    path.write_bytes(content[: content.index(b"\xff\xda") + 20])
    assert seen(path) == whole == Look(64, 96, "JPEG", camera="Box", f=2.8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def as_profile(kind: bytes, name: bytes) -> bytes:
    """EXIF as ImageMagick writes it."""
    block = b"Exif\0\0" + exif(*ENTRIES)
    digits = block.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    body = b"\nexif\n%8d\n%s\n" % (len(block), lines)
    packed = b"\0" + zlib.compress(body) if kind == b"zTXt" else body
    return chunk(kind, b"Raw profile type " + name + b"\0" + packed)


@pytest.mark.parametrize("is_behind", [True, False])
@pytest.mark.parametrize(
    "part",
    [
        chunk(b"eXIf", exif(*ENTRIES)),
        chunk(b"eXIf", b"Exif\0\0" + exif(*ENTRIES)),
        as_profile(b"zTXt", b"exif"),
        as_profile(b"tEXt", b"exif"),
    ],
    ids=["chunk", "prefix", "packed", "text"],
)
def test_exif_is_seen_before_and_behind_the_pixels_of_a_png(
    part: bytes, is_behind: bool, china: Image.Image, tmp_path: Path
) -> None:
    path = saved(china, tmp_path / "a.png")
    content = path.read_bytes()
    at = content.index(b"IEND" if is_behind else b"IDAT") - 4
    path.write_bytes(content[:at] + part + content[at:])
    assert both(path) == Look(64, 96, "PNG", camera="Box", f=2.8)
    # The same if the pixels cannot be decoded.
    pixels = path.read_bytes().index(b"IDAT") + 4
    path.write_bytes(path.read_bytes()[:pixels] + bytes(50) + path.read_bytes()[pixels + 50 :])
    assert seen(path) == Look(64, 96, "PNG", camera="Box", f=2.8)


@pytest.mark.parametrize(
    "part",
    [
        chunk(b"zTXt", b"Raw profile type exif\0\0junk"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nxyz"),
        chunk(b"tEXt", b"Raw profile type exif\0"),
        chunk(b"eXIf", b""),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    ],
)
def test_damaged_exif_does_not_cost_a_png(part: bytes, china: Image.Image, tmp_path: Path) -> None:
    path = saved(china, tmp_path / "a.png")
    content = path.read_bytes()
    for place in (b"IDAT", b"IEND"):
        at = content.index(place) - 4
        path.write_bytes(content[:at] + part + content[at:])
        assert seen(path) == Look(96, 64, "PNG")


def test_a_bigtiff_is_seen(china: Image.Image, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[272] = "Box"
    tags[306] = "2001:02:03 04:05:06"
    path = tmp_path / "a.tif"
    china.info = {}
    china.save(path, big_tiff=True, exif=tags)
    assert path.read_bytes()[:4] == b"II+\0"
    assert both(path) == Look(96, 64, "TIFF", camera="Box", taken=981173106.0)


# --- RAW ---


def test_a_raw_is_seen(china: Image.Image, tmp_path: Path, exiftool: Read) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(dng(china, preview=china, orientation=6))
    exiftool("-q", "-overwrite_original", *(each for each in WRITTEN if "M" not in each), path)
    found, expected = both(path), by_exiftool(exiftool, path)
    assert (found.width, found.height, found.format) == (64, 96, "RAW")
    assert found.camera == "photoramd Test Camera"
    assert found.iso == expected["ISO"] == 1250
    assert found.taken == (moment(expected["DateTimeOriginal"]) or (0,))[0] + 0.125
    assert found.lat == pytest.approx(expected["GPSLatitude"], abs=1e-9)


def test_what_libraw_knows_of_a_raw_without_exif_is_seen(
    china: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "a.dng"
    content = dng(china, preview=china)
    for tag in (271, 272):  # the camera's name is in a tag of DNG, too
        content = content.replace(struct.pack("<HH", tag, 2), struct.pack("<HH", 65000, 2))
    path.write_bytes(content)
    found = both(path)
    assert found.camera is not None
    assert "photoramd" in found.camera


def test_a_raw_that_is_too_large_or_none_is_refused(china: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(dng(china))
    seen(path, 96 * 64)
    with pytest.raises(DecodeError, match="more than the limit"):
        seen(path, 96 * 64 - 1)
    for content, reason in ((b"hello", "text"), (bytes(999), "zeros"), (b"II*\0" * 9, "RAW")):
        path.write_bytes(content)
        with pytest.raises(DecodeError, match=reason):
            seen(path)


def test_a_jpeg_that_is_called_a_raw_is_a_jpeg(china: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(jpeg(china))
    assert both(path) == Look(96, 64, "JPEG")


def test_looking_is_reading(china: Image.Image, tmp_path: Path) -> None:
    """The file is where it was, for whoever reads on."""
    path = saved(china, tmp_path / "a.jpg")
    with open_file(path) as opened:
        look_at(opened, max_pixels=MAX_PIXELS)
        opened.file.seek(0)
        assert opened.file.read() == path.read_bytes()
        assert Image.open(io.BytesIO(path.read_bytes())).size == (96, 64)
