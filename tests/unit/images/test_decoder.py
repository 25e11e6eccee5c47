from __future__ import annotations

import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageCms

from photoramd.errors import ChangedError, DecodeError
from photoramd.images.decoder import Decoded, decode
from photoramd.images.opener import open_photo
from photoramd.photo import Fingerprint
from photoramd.pipeline.lookahead import LookAhead
from tests.support.clock import bound
from tests.support.files import await_tick
from tests.support.orientation import STORED, as_stored
from tests.support.photos import camera_photos
from tests.support.samples import sample_photos

MAX_PIXELS = 1_000_000
FULL = 1 << 20

SAVED_AS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "PNG": {},
    "WEBP": {"quality": 95},
    "TIFF": {},
    "BMP": {},
    "GIF": {},
    "AVIF": {"quality": 95, "speed": 9, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
}
WITH_ORIENTATION = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")


@pytest.fixture(scope="module", autouse=True)
def _heif_encoder() -> None:
    pillow_heif.register_heif_opener()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photo, small, and different in all of its corners."""
    with Image.open(sample_photos()["china"]) as image:
        return image.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS)


_ENCODED: dict[tuple[object, ...], bytes] = {}


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    image.info = {}
    options = SAVED_AS.get(format_, {}) | options
    look = (image.mode, image.size, image.tobytes(), str(image.getpalette()))
    key = (*look, format_, repr(options))
    if key not in _ENCODED or "append_images" in options:  # some encoders are slow
        target = io.BytesIO()
        image.save(target, format_, **options)
        _ENCODED[key] = target.getvalue()
    return _ENCODED[key]


def repeatable(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secrets here


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def decoded(path: Path, content: bytes, side: int = FULL) -> Decoded:
    return decode(written(path, content), side=side, max_pixels=MAX_PIXELS)


def difference(left: Image.Image, right: Image.Image) -> float:
    """Mean difference of the values, of 255."""
    assert left.size == right.size
    assert left.mode == right.mode == "RGB"
    return float(np.abs(np.asarray(left, np.int16) - np.asarray(right, np.int16)).mean())


# --- Real photos ---


@pytest.mark.parametrize("name", ["cat", "coffee", "rocket", "china", "imagenet_317"])
def test_a_real_photo_is_decoded_as_it_is(name: str) -> None:
    path = sample_photos()[name]
    result = decode(path, side=FULL, max_pixels=MAX_PIXELS)
    with Image.open(path) as expected:
        assert np.array_equal(np.asarray(result.image), np.asarray(expected.convert("RGB")))
        assert (result.look.width, result.look.height) == expected.size
        assert result.look.format == expected.format
    assert result.image.mode == "RGB"
    assert result.fingerprint == Fingerprint.of(path.stat())


@pytest.mark.parametrize("format_", SAVED_AS)
def test_every_format_is_decoded(format_: str, photo: Image.Image, tmp_path: Path) -> None:
    result = decoded(tmp_path / "photo", encoded(photo, format_))
    assert result.look.format == format_
    assert (result.look.width, result.look.height) == photo.size
    assert difference(result.image, photo) < (6 if format_ == "GIF" else 4)


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_every_compression_is_decoded(
    format_: str, options: dict[str, Any], photo: Image.Image, tmp_path: Path
) -> None:
    result = decoded(tmp_path / "photo", encoded(photo, format_, **options))
    assert difference(result.image, photo) < 6


def test_the_content_decides_and_not_the_name(photo: Image.Image, tmp_path: Path) -> None:
    assert decoded(tmp_path / "photo.jpg", encoded(photo, "PNG")).look.format == "PNG"
    assert decoded(tmp_path / "photo.heic", encoded(photo, "JPEG")).look.format == "JPEG"
    assert decoded(tmp_path / "photo.txt", encoded(photo, "HEIF")).look.format == "HEIF"


@pytest.mark.parametrize("brand", [b"heix", b"mif1", b"msf1"])
def test_heif_is_known_by_any_of_its_brands(
    brand: bytes, photo: Image.Image, tmp_path: Path
) -> None:
    heif = encoded(photo, "HEIF")
    assert decoded(tmp_path / "photo", heif[:8] + brand + heif[12:]).look.format == "HEIF"
    avif = encoded(photo, "AVIF")
    assert decoded(tmp_path / "photo", avif[:8] + b"mif1" + avif[12:]).look.format == "AVIF"


def test_a_name_that_is_not_utf8_is_decoded(photo: Image.Image, tmp_path: Path) -> None:
    name = os.fsdecode(b"-caf\xe9\n.jpg")
    assert decoded(tmp_path / name, encoded(photo, "JPEG")).look.format == "JPEG"


@pytest.mark.parametrize("format_", SAVED_AS)
def test_a_sparse_file_of_a_terabyte_is_refused_at_once(
    format_: str, photo: Image.Image, tmp_path: Path
) -> None:
    path = written(tmp_path / "photo", encoded(photo, format_)[:16])
    os.truncate(path, 1 << 40)
    with pytest.raises(DecodeError):
        decode(path, side=300, max_pixels=MAX_PIXELS)


def test_of_an_animation_the_first_frame_counts(photo: Image.Image, tmp_path: Path) -> None:
    turned = photo.rotate(180)
    for format_ in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        content = encoded(photo, format_, save_all=True, append_images=[turned, turned])
        result = decoded(tmp_path / "photo", content)
        assert difference(result.image, photo) < 6, format_


def test_of_several_pictures_the_main_one_counts(photo: Image.Image, tmp_path: Path) -> None:
    turned = photo.rotate(180)
    mpo = encoded(photo, "MPO", save_all=True, append_images=[turned], quality=95)
    result = decoded(tmp_path / "photo", mpo)
    assert difference(result.image, photo) < 4
    assert result.look.format == "JPEG"
    heif = encoded(turned, "HEIF", save_all=True, append_images=[photo], primary_index=1)
    assert difference(decoded(tmp_path / "photo", heif).image, photo) < 2


# --- Orientation ---


def exif_with(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Example"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:06:01 10:00:00"
    return exif.tobytes()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", WITH_ORIENTATION)
def test_a_photo_comes_upright(
    format_: str, orientation: int, photo: Image.Image, tmp_path: Path
) -> None:
    content = encoded(as_stored(photo, orientation), format_, exif=exif_with(orientation))
    result = decoded(tmp_path / "photo", content)
    assert (result.look.width, result.look.height) == photo.size
    assert difference(result.image, photo) < 4
    # A second look at the EXIF would turn it again.
    assert result.image.getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("orientation", STORED)
def test_a_reduced_photo_comes_upright(orientation: int, tmp_path: Path) -> None:
    with Image.open(sample_photos()["china"]) as image:
        upright = image.convert("RGB").resize((1200, 800))
    stored = as_stored(upright, orientation)
    content = encoded(stored, "JPEG", exif=exif_with(orientation))
    result = decoded(tmp_path / "photo", content, side=200)
    assert (result.look.width, result.look.height) == (1200, 800)
    assert result.image.size == (300, 200)
    assert difference(result.image, upright.resize((300, 200), Image.Resampling.BOX)) < 3


def test_a_heif_turned_by_its_container_is_not_turned_by_its_exif_too(
    photo: Image.Image, tmp_path: Path
) -> None:
    # As phones write it: a rotation in the container, and the same again in EXIF.
    heif = encoded(as_stored(photo, 6), "HEIF", exif=exif_with(6))
    assert b"irot" in heif
    assert exif_with(6)[6:] in heif
    assert difference(decoded(tmp_path / "photo", heif).image, photo) < 4


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_without_a_rotation_in_the_container_its_exif_turns_nothing(
    format_: str, photo: Image.Image, tmp_path: Path
) -> None:
    # ISO/IEC 23008-12, A.4.1: EXIF only repeats what the container says.
    content = encoded(photo, format_, exif=exif_with(6))
    angle = content.index(b"irot") + 4
    content = content[:angle] + b"\0" + content[angle + 1 :]
    assert difference(decoded(tmp_path / "photo", content).image, photo) < 4


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_means_nothing_turns_nothing(
    value: int, photo: Image.Image, tmp_path: Path
) -> None:
    result = decoded(tmp_path / "photo", encoded(photo, "JPEG", exif=exif_with(value)))
    assert difference(result.image, photo) < 2.5


@pytest.mark.parametrize("format_", WITH_ORIENTATION)
def test_bad_exif_does_not_cost_the_photo(format_: str, photo: Image.Image, tmp_path: Path) -> None:
    content = encoded(photo.resize((48, 32)), format_, exif=exif_with(6))
    start = content.index(b"II*\0" if format_ == "TIFF" else b"MM\0*")
    rng = repeatable(7)
    for _ in range(100):
        damaged = bytearray(content)
        if format_ == "TIFF":  # its header is the image's own: only what EXIF adds is damaged
            start = content.index(struct.pack("<HH", ExifTags.Base.DateTimeOriginal, 2))
        for _ in range(rng.randint(1, 6)):
            at = start + rng.randrange(12 if format_ == "TIFF" else 60)
            damaged[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        result = decoded(tmp_path / "photo", with_right_checksums(bytes(damaged)))
        assert {result.look.width, result.look.height} == {48, 32}


# --- Colours ---


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
def test_grey_and_palette_images_look_as_they_are(
    format_: str, mode: str, photo: Image.Image, tmp_path: Path
) -> None:
    image = photo.quantize(64) if mode == "P" else photo.convert(mode)
    result = decoded(tmp_path / "photo", encoded(image, format_))
    assert difference(result.image, image.convert("RGB")) == 0


def over_white(image: Image.Image) -> Image.Image:
    rgba = np.asarray(image.convert("RGBA"), np.float64)
    alpha = rgba[..., 3:] / 255
    return Image.fromarray((rgba[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8))


@pytest.fixture(scope="module")
def translucent(photo: Image.Image) -> Image.Image:
    image = photo.copy()
    image.putalpha(Image.linear_gradient("L").resize(photo.size))
    return image


@pytest.mark.parametrize(
    ("format_", "options", "tolerance"),
    [
        ("PNG", {}, 1),
        ("TIFF", {}, 1),
        ("WEBP", {"lossless": True}, 1),
        ("AVIF", {}, 3),
        ("HEIF", {}, 3),
    ],
)
def test_transparency_is_seen_on_white(
    format_: str,
    options: dict[str, Any],
    tolerance: float,
    translucent: Image.Image,
    tmp_path: Path,
) -> None:
    result = decoded(tmp_path / "photo", encoded(translucent, format_, **options))
    assert difference(result.image, over_white(translucent)) < tolerance


def test_transparency_of_grey_images_is_seen_on_white(
    translucent: Image.Image, tmp_path: Path
) -> None:
    grey = translucent.convert("LA")
    for format_ in ("PNG", "TIFF"):
        result = decoded(tmp_path / "photo", encoded(grey, format_))
        assert difference(result.image, over_white(grey)) < 1


def test_a_premultiplied_image_is_seen_on_white(tmp_path: Path) -> None:
    half_black = bytes([0, 128] * 64)  # premultiplied grey 0, alpha one half
    content = tiff(8, 8, half_black, bits=(8, 8), extra=1)
    assert decoded(tmp_path / "photo", content).image.getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(
    format_: str, photo: Image.Image, tmp_path: Path
) -> None:
    image = photo.quantize(16)
    result = decoded(tmp_path / "photo", encoded(image, format_, transparency=3))
    transparent = np.asarray(image) == 3
    assert transparent.any()
    pixels = np.asarray(result.image)
    assert (pixels[transparent] == 255).all()
    assert np.array_equal(pixels[~transparent], np.asarray(image.convert("RGB"))[~transparent])


def test_a_palette_with_many_opacities_is_seen_on_white(photo: Image.Image, tmp_path: Path) -> None:
    image = photo.quantize(16)
    opacities = bytes(range(0, 256, 16))
    result = decoded(tmp_path / "photo", encoded(image, "PNG", transparency=opacities))
    image.info["transparency"] = opacities
    assert difference(result.image, over_white(image)) < 1


def test_a_transparent_colour_is_white(tmp_path: Path) -> None:
    rows = bytes([10, 20, 30, 40, 50, 60])
    content = png(2, 1, 8, 2, rows, (b"tRNS", struct.pack(">HHH", 10, 20, 30)))
    image = decoded(tmp_path / "photo", content).image
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_an_alpha_channel_of_nothing_but_zeros_is_not_meant(
    photo: Image.Image, tmp_path: Path
) -> None:
    image = photo.copy()
    image.putalpha(0)
    assert difference(decoded(tmp_path / "photo", encoded(image, "PNG")).image, photo) == 0


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(format_: str, photo: Image.Image, tmp_path: Path) -> None:
    result = decoded(tmp_path / "photo", encoded(photo.convert("CMYK"), format_))
    assert difference(result.image, photo) < 3


def test_ycbcr_and_lab_are_converted(photo: Image.Image, tmp_path: Path) -> None:
    ycbcr = encoded(photo.convert("YCbCr"), "TIFF")
    assert difference(decoded(tmp_path / "photo", ycbcr).image, photo) < 2
    lab = ImageCms.profileToProfile(
        photo, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert difference(decoded(tmp_path / "photo", encoded(lab, "TIFF")).image, photo) < 4


RAMP = np.linspace(0, 65535, 256).round().astype(np.uint16)
"""Sixteen bits of which every step is one of eight."""


def grey(path: Path, content: bytes) -> list[int]:
    """The pixels of a grey image, which must be grey."""
    pixels = np.asarray(decoded(path, content).image).reshape(-1, 3)
    assert (pixels == pixels[:, :1]).all()
    return [int(value) for value in pixels[:, 0]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(order: str, tmp_path: Path) -> None:
    content = tiff(16, 16, RAMP.astype(f"{order}u2").tobytes(), bits=(16,), order=order)
    assert grey(tmp_path / "photo", content) == list(range(256))


def test_grey_of_16_bits_in_other_files_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    assert grey(path, png(256, 1, 16, 0, RAMP.astype(">u2").tobytes())) == list(range(256))
    white_is_zero = tiff(16, 16, RAMP.astype("<u2").tobytes(), bits=(16,), photometric=0)
    assert grey(path, white_is_zero) == list(range(255, -1, -1))
    twelve = b"".join(
        bytes([left >> 4, (left & 15) << 4 | right >> 8, right & 255])
        for left, right in zip(range(0, 4096, 32), range(16, 4096, 32), strict=True)
    )
    assert grey(path, tiff(16, 16, twelve, bits=(12,))) == list(range(256))


def test_one_transparent_value_of_16_bits_is_white(tmp_path: Path) -> None:
    content = png(2, 1, 16, 0, struct.pack(">HH", 1000, 1001), (b"tRNS", struct.pack(">H", 1000)))
    assert grey(tmp_path / "photo", content) == [255, 3]


def test_colour_of_16_bits_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    values = np.stack([RAMP, RAMP[::-1], RAMP // 2], axis=-1)
    expected = np.stack([RAMP >> 8, RAMP[::-1] >> 8, (RAMP // 2) >> 8], axis=-1)
    for content in (
        png(256, 1, 16, 2, values.astype(">u2").tobytes()),
        # A transparent colour of 16 bits cannot be told apart in 8.
        png(
            256,
            1,
            16,
            2,
            values.astype(">u2").tobytes(),
            (b"tRNS", struct.pack(">HHH", 65535, 65535, 65535)),
        ),
        tiff(256, 1, values.astype("<u2").tobytes(), bits=(16, 16, 16), photometric=2),
        tiff(256, 1, values.astype(">u2").tobytes(), bits=(16, 16, 16), photometric=2, order=">"),
    ):
        assert np.array_equal(np.asarray(decoded(path, content).image)[0], expected)


@pytest.mark.parametrize(
    ("values", "sample_format", "expected"),
    [
        (np.array([0, 128, 255, 7], "<i4"), 2, [0, 128, 255, 7]),
        (np.array([0, 32896, 65535, 256], "<i4"), 2, [0, 128, 255, 1]),
        (np.array([-100, 0, 50, 100], "<i4"), 2, [0, 128, 191, 255]),
        (np.array([0, 0.5, 1, 0.25], "<f4"), 3, [0, 128, 255, 64]),
        (np.array([0, 128, 255, 7], "<f4"), 3, [0, 128, 255, 7]),
        (np.array([0, 32896, 65535, 257], "<f4"), 3, [0, 128, 255, 1]),
        (np.array([-1, 0, 1, -1], "<f4"), 3, [0, 128, 255, 0]),
        (np.array([np.nan, 0.5, 1, np.inf], "<f4"), 3, [0, 128, 255, 0]),
        (np.array([0, 0, 0, 0], "<f4"), 3, [0, 0, 0, 0]),
    ],
)
def test_32_bits_are_scaled_to_the_full_scale_they_seem_to_have(
    values: Any, sample_format: int, expected: list[int], tmp_path: Path
) -> None:
    content = tiff(2, 2, values.tobytes(), bits=(32,), sample_format=sample_format)
    assert grey(tmp_path / "photo", content) == expected


# --- Reduced decoding ---


def test_a_jpeg_is_reduced_to_no_less_than_asked_for(tmp_path: Path) -> None:
    (path,) = camera_photos(tmp_path, 2, 1, seed=1)
    with Image.open(path) as image:
        shorter = min(image.size)
    for side in (shorter, shorter // 2, shorter // 2 + 1, shorter // 4, shorter // 8, 1):
        result = decode(path, side=side, max_pixels=10_000_000)
        ratio = min(
            scale for scale in (1, 2, 4, 8) if -(-shorter // scale) < 2 * side or scale == 8
        )
        assert min(result.image.size) == -(-shorter // ratio)
        assert min(result.image.size) >= side
        assert min(result.look.width, result.look.height) == shorter


def test_reduced_pixels_are_those_of_the_whole_photo(tmp_path: Path) -> None:
    (path,) = camera_photos(tmp_path, 2, 1, seed=1)
    whole = decode(path, side=FULL, max_pixels=10_000_000).image
    reduced = decode(path, side=384, max_pixels=10_000_000).image
    assert reduced.width < whole.width
    sizes = [image.resize((224, 224), Image.Resampling.BICUBIC) for image in (whole, reduced)]
    assert difference(*sizes) < 1


def test_a_small_jpeg_is_not_enlarged(photo: Image.Image, tmp_path: Path) -> None:
    assert decoded(tmp_path / "photo", encoded(photo, "JPEG"), side=500).image.size == photo.size


# --- What is not decoded ---


def reason(path: Path, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(path, side=FULL, max_pixels=max_pixels)
    assert caught.value.path == str(path)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"Dear diary,\n", "looks like text"),
        ("Lieber Käfer, ".encode() * 60, "looks like text"),
        (b"BMW is a brand of cars.\n", "looks like text"),
        (bytes(10_000), "nothing but zeros"),
        (bytes(range(256)), "no known kind of image"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2mp41", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"<?xml version='1.0'?><svg/>", "XML or HTML"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\xff\x0a\0\0", "JPEG XL"),
    ],
)
def test_what_is_no_photo_is_told_apart(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in reason(written(tmp_path / "IMG.jpg", content))


def test_what_is_no_file_is_told_apart(tmp_path: Path, photo: Image.Image) -> None:
    assert "No such file" in reason(tmp_path / "missing.jpg")
    (tmp_path / "directory.jpg").mkdir()
    assert reason(tmp_path / "directory.jpg") == "it is a directory, not a photo"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "it is a named pipe, not a photo"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        assert "socket" in reason(tmp_path / "s.jpg")
    assert "device" in reason(Path("/dev/zero"))
    real = written(tmp_path / "real.jpg", encoded(photo, "JPEG"))
    (tmp_path / "link.jpg").symlink_to(real)
    assert "symbolic link" in reason(tmp_path / "link.jpg")
    assert "Not a directory" in reason(real / "inside.jpg")
    assert "null" in reason(tmp_path / "a\0b.jpg")


def test_an_unreadable_file_is_told(tmp_path: Path, photo: Image.Image) -> None:
    path = written(tmp_path / "photo.jpg", encoded(photo, "JPEG"))
    path.chmod(0)
    script = f"""
import os
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from photoramd.images.decoder import decode
from photoramd.errors import DecodeError
try:
    decode({str(path)!r}, side=1, max_pixels=10)
except DecodeError as error:
    print(error.message)
"""
    assert "Permission denied" in run_python(script, imports_first=True)


def run_python(script: str, *options: str, imports_first: bool = False) -> str:
    """What a fresh interpreter prints; anything on its stderr fails the test."""
    if imports_first:  # before rights are dropped
        script = "import photoramd.images.decoder\n" + script
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=bound(60),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("format_", SAVED_AS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_an_error(
    format_: str, part: float, photo: Image.Image, tmp_path: Path
) -> None:
    content = encoded(photo, format_)
    message = reason(written(tmp_path / "photo", content[: int(len(content) * part)]))
    assert "truncated" in message
    assert format_ in message


def test_a_jpeg_is_truncated_wherever_it_is_cut(photo: Image.Image, tmp_path: Path) -> None:
    for options in ({}, {"progressive": True}):
        content = encoded(photo, "JPEG", **options)
        for length in [*range(4, len(content), 97), len(content) - 2, len(content) - 1]:
            message = reason(written(tmp_path / "photo", content[:length]))
            assert "truncated" in message
            assert "JPEG" in message


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_preallocated_file_that_is_copied_in_part_is_an_error(
    format_: str, part: float, tmp_path: Path
) -> None:
    with Image.open(sample_photos()["coffee"]) as image:
        content = encoded(image, format_)
    length = int(len(content) * part)
    half = content[:length] + bytes(len(content) - length)
    assert "truncated" in reason(written(tmp_path / "photo", half))


@pytest.mark.parametrize("format_", SAVED_AS)
def test_padding_after_the_end_does_no_harm(
    format_: str, photo: Image.Image, tmp_path: Path
) -> None:
    result = decoded(tmp_path / "photo", encoded(photo, format_) + bytes(100_000))
    assert difference(result.image, photo) < 6


def test_a_png_without_its_end_is_truncated(photo: Image.Image, tmp_path: Path) -> None:
    assert "its end is missing" in reason(written(tmp_path / "photo", encoded(photo, "PNG")[:-12]))


@pytest.mark.parametrize("format_", SAVED_AS)
def test_damage_ends_in_a_photo_or_in_our_error(
    format_: str, photo: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "photo"
    options = {"exif": exif_with(6)} if format_ in WITH_ORIENTATION else {}
    variants = [encoded(photo.resize((48, 32)), format_, **options)]
    if format_ == "TIFF":
        variants.append(encoded(photo.resize((48, 32)), format_, compression="tiff_lzw"))
    outcomes = set()
    for seed in range(150):
        content = damaged(variants[seed % len(variants)], repeatable(seed))
        outcomes.add(outcome(written(path, content)).partition(" ")[0])
    assert "RGB" in outcomes
    assert outcomes & {"damaged,", "truncated"}


def outcome(path: Path) -> str:
    """How a photo looks, or the reason why it does not; any other exception fails the test."""
    try:
        return decode(path, side=16, max_pixels=MAX_PIXELS).image.mode
    except DecodeError as error:
        return error.message


def test_a_box_of_impossible_length_is_damage(photo: Image.Image, tmp_path: Path) -> None:
    for format_ in ("AVIF", "HEIF"):
        content = encoded(photo, format_)
        at = content.index(b"mdat") - 4
        huge = struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1)
        message = reason(written(tmp_path / "photo", content[:at] + huge + content[at + 8 :]))
        assert "truncated" in message


def damaged(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    kind = rng.randrange(4)
    if kind == 0:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:  # headers are where it hurts
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(min(len(data), 600))] = rng.choice((0, 1, 127, 128, 255))
    elif kind == 2:
        del data[rng.randrange(len(data)) :]
    else:
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(30)] = rng.randbytes(rng.randrange(30))
    return bytes(data)


def test_a_file_that_changes_meanwhile_is_told_apart_from_a_bad_one(
    photo: Image.Image, tmp_path: Path
) -> None:
    path = written(tmp_path / "photo", encoded(photo, "JPEG"))
    with pytest.raises(ChangedError) as caught:
        load_while(path, lambda: os.truncate(path, path.stat().st_size + 4))
    assert caught.value.path == str(path)
    # What went wrong while it was written does not count.
    with pytest.raises(ChangedError):
        load_while(path, lambda: os.truncate(path, 200))
    # Nor does it have to have another size or time.
    path.write_bytes(encoded(photo, "JPEG"))
    status = path.stat()
    await_tick(path)
    with pytest.raises(ChangedError):
        load_while(path, lambda: os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns)))
    load_while(path, lambda: None)


def load_while(path: Path, change: Callable[[], None]) -> None:
    with open_photo(path) as opened:
        change()
        opened.image.load()


def test_reading_a_photo_changes_nothing_about_it(photo: Image.Image, tmp_path: Path) -> None:
    path = written(tmp_path / "photo", encoded(photo, "TIFF", compression="tiff_lzw"))
    before = Fingerprint.of(path.stat())
    decode(path, side=FULL, max_pixels=MAX_PIXELS)
    assert Fingerprint.of(path.stat()).is_stable_since(before)


def test_libtiff_gets_no_descriptor_to_map(photo: Image.Image, tmp_path: Path) -> None:
    # Truncating a mapped file kills the process that reads it.
    path = written(tmp_path / "photo", encoded(photo, "TIFF", compression="tiff_lzw"))
    with open_photo(path) as opened, pytest.raises(io.UnsupportedOperation):
        opened.file.fileno()


def test_no_descriptor_stays_open(photo: Image.Image, tmp_path: Path) -> None:
    good = [written(tmp_path / name, encoded(photo, name)) for name in SAVED_AS]
    bad = written(tmp_path / "bad", encoded(photo, "JPEG")[:2000])
    empty = written(tmp_path / "empty", b"")
    descriptors = len(os.listdir("/proc/self/fd"))
    for path in good:
        decode(path, side=FULL, max_pixels=MAX_PIXELS)
    for path in (bad, empty, tmp_path):
        reason(path)
    assert len(os.listdir("/proc/self/fd")) == descriptors


# --- The limit on pixels ---


def claiming(width: int, height: int, photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Files of each format whose headers tell a size that they do not have."""
    jpeg = encoded(photo, "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    size = struct.pack(">HH", min(height, 65535), min(width, 65535))
    yield "JPEG", jpeg[:frame] + size + jpeg[frame + 4 :]
    yield "PNG", png(width, height, 8, 2, bytes(48))
    for compression in (1, 5, 8):
        yield "TIFF", tiff(width, height, bytes(48), bits=(8, 8, 8), compression=compression)
    bmp = encoded(photo, "BMP")
    yield "BMP", bmp[:18] + struct.pack("<ii", width, height) + bmp[26:]
    gif = encoded(photo, "GIF")
    yield "GIF", gif[:6] + struct.pack("<HH", min(width, 65535), min(height, 65535)) + gif[10:]
    side = min(width, height, 16383)
    lossy = encoded(photo, "WEBP")
    assert lossy[12:16] == b"VP8 "
    yield "WEBP", lossy[:26] + struct.pack("<HH", side, side) + lossy[30:]
    extended = encoded(photo, "WEBP", save_all=True, append_images=[photo.rotate(180)])
    assert extended[12:16] == b"VP8X"
    canvas = struct.pack("<I", side)[:3] * 2
    yield "WEBP", extended[:24] + canvas + extended[30:]
    for format_ in ("AVIF", "HEIF"):
        content = encoded(photo, format_)
        at = content.index(b"ispe\0\0\0\0") + 8
        yield format_, content[:at] + struct.pack(">II", width, height) + content[at + 8 :]


@pytest.mark.parametrize("side", [11_000, 15_000, 40_000])
def test_the_limit_on_pixels_is_kept_before_any_is_decoded(
    side: int, photo: Image.Image, tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "large").mkdir()
    for format_ in SAVED_AS:
        written(tmp_path / "good" / format_, encoded(photo, format_))
    formats = set()
    for number, (format_, content) in enumerate(claiming(side, side, photo)):
        formats.add(format_)
        written(tmp_path / "large" / f"{number}-{format_}", content)
    assert formats == set(SAVED_AS)
    # In a process of its own, where the peak of memory is that of these files alone.
    output = run_python(f"""
import resource
from pathlib import Path
from photoramd.images.decoder import decode
from photoramd.errors import DecodeError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for path in Path({str(tmp_path / "good")!r}).iterdir():
    decode(path, side=64, max_pixels=120_000_000)
before = peak()
for path in sorted(Path({str(tmp_path / "large")!r}).iterdir()):
    try:
        decode(path, side=64, max_pixels=120_000_000)
        print(path.name, "decoded")
    except DecodeError as error:
        print(path.name, error.message)
print(peak() - before)
""")
    *messages, grown_mb = output.splitlines()
    assert float(grown_mb) < 16
    for message in messages:
        # Some libraries refuse such sizes by themselves.
        assert (
            "limit of 120,000,000" in message
            or "far too many" in message
            or (
                side == 40_000
                and message.split("-")[1].startswith(("AVIF damaged", "HEIF damaged"))
            )
        )
    assert len(messages) == 11


def test_the_limit_counts_what_a_heif_cuts_off(photo: Image.Image, tmp_path: Path) -> None:
    odd = encoded(photo.resize((101, 67)), "HEIF")
    assert b"clap" in odd  # the coded picture is larger than what is shown of it
    at = odd.index(b"ispe\0\0\0\0") + 8
    path = written(tmp_path / "photo", odd[:at] + struct.pack(">II", 5000, 5000) + odd[at + 8 :])
    assert "5000 x 5000" in reason(path)


def test_the_limit_is_exact_and_its_error_names_a_remedy(
    photo: Image.Image, tmp_path: Path
) -> None:
    path = written(tmp_path / "photo", encoded(photo, "JPEG"))
    pixels = photo.width * photo.height
    assert decode(path, side=64, max_pixels=pixels).look.width == photo.width
    with pytest.raises(DecodeError, match="192 x 128 pixels") as caught:
        decode(path, side=64, max_pixels=pixels - 1)
    assert caught.value.remedy is not None
    assert "max_pixels" in caught.value.remedy


def test_pillows_own_limit_does_not_interfere(tmp_path: Path) -> None:
    # 200 million pixels: Pillow alone would refuse them. One bit each, so that it is quick.
    side = 14_200
    flat = zlib.compress(bytes((1 + side // 8) * side), 1)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path = written(tmp_path / "photo", png_of([(b"IHDR", head), (b"IDAT", flat), (b"IEND", b"")]))
    compressed = tmp_path / "photo.tif"
    with open_photo(path, max_pixels=10**9) as opened:
        assert opened.image.size == (side, side)
    Image.new("1", (side, side)).save(compressed, compression="group4")
    with open_photo(compressed, max_pixels=10**9) as opened:
        opened.image.load()
        assert opened.image.size == (side, side)


# --- Warnings ---


def test_nothing_that_pillow_warns_of_reaches_anybody(photo: Image.Image, tmp_path: Path) -> None:
    exif = exif_with(6)
    paths = [
        written(tmp_path / "1", encoded(photo, "JPEG", exif=exif[:-3])),
        written(tmp_path / "2", encoded(photo, "JPEG", exif=exif[:14] + b"\xff" + exif[15:])),
        written(tmp_path / "3", encoded(photo, "TIFF")[:-3]),
        written(tmp_path / "4", png(12_000, 9_000, 1, 0, b"")),
    ]
    script = f"""
from photoramd.images.decoder import decode
from photoramd.errors import DecodeError
for path in {[str(path) for path in paths]!r}:
    try:
        print(decode(path, side=64, max_pixels=200_000_000).look.format)
    except DecodeError as error:
        print(error.message)
"""
    printed = run_python(script, "-W", "error")
    assert printed.splitlines()[:2] == ["JPEG", "JPEG"]
    assert run_python(script, "-W", "default") == printed


# --- Look-ahead ---


def wait(event: threading.Event) -> None:
    assert event.wait(30)


def test_results_come_in_the_order_of_the_items() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            wait(second_done)
        if item == 1:
            second_done.set()
        return item * 10

    with LookAhead(work, threads=2, depth=4) as ahead:
        for item in range(4):
            ahead.submit(item)
        assert [ahead.take() for _ in range(4)] == [(0, 0), (1, 10), (2, 20), (3, 30)]


def test_as_many_items_as_threads_are_worked_on_at_a_time() -> None:
    meeting = threading.Barrier(3)
    lock = threading.Lock()
    running = most = 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(30)
        with lock:
            running -= 1
        return item

    with LookAhead(work, threads=3, depth=6) as ahead:
        for item in range(6):
            ahead.submit(item)
        assert [ahead.take()[1] for _ in range(6)] == list(range(6))
    assert most == 3


def test_what_is_in_flight_is_bounded() -> None:
    with LookAhead(str, threads=1, depth=2) as ahead:
        assert (ahead.room, len(ahead)) == (2, 0)
        ahead.submit(1)
        ahead.submit(2)
        assert (ahead.room, len(ahead)) == (0, 2)
        with pytest.raises(RuntimeError, match="no room"):
            ahead.submit(3)
        assert ahead.take() == (1, "1")
        assert (ahead.room, len(ahead)) == (1, 1)
        ahead.submit(3)
        assert [ahead.take(), ahead.take()] == [(2, "2"), (3, "3")]


def test_taking_waits_no_longer_than_told_and_loses_nothing() -> None:
    may_finish = threading.Event()
    with LookAhead(lambda _: wait(may_finish), threads=1, depth=1) as ahead:
        ahead.submit("item")
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                ahead.take_done(timeout)
        assert len(ahead) == 1
        may_finish.set()
        assert ahead.take_done(30) == ("item", None)
        for take in (ahead.take, lambda: ahead.take_done(1)):
            with pytest.raises(IndexError):
                take()


def test_the_oldest_result_that_is_there_is_taken_before_one_that_takes_long() -> None:
    may_finish = threading.Event()

    def work(item: str) -> str:
        if item == "long":
            wait(may_finish)
        return item

    with LookAhead(work, threads=2, depth=4) as ahead:
        for item in ("long", "one", "two", "three"):
            ahead.submit(item)
        assert [ahead.take_done(30)[0] for _ in range(3)] == ["one", "two", "three"]
        with pytest.raises(TimeoutError):
            ahead.take_done(0)
        may_finish.set()
        assert ahead.take_done(30) == ("long", "long")


def test_an_error_is_the_result_of_its_item_alone(caplog: pytest.LogCaptureFixture) -> None:
    known = DecodeError("broken", path="1")

    def work(item: Path) -> str:
        if item.name == "1":
            raise known
        if item.name == "2":
            raise ZeroDivisionError("a bug")
        return item.name

    with LookAhead(work, threads=2, depth=4) as ahead:
        for number in range(4):
            ahead.submit(Path(str(number)))
        results = [ahead.take()[1] for _ in range(4)]
    assert results[0] == "0"
    assert results[1] is known
    bug = results[2]
    assert isinstance(bug, DecodeError)
    assert "a bug" in bug.message
    assert bug.path == "2"
    assert results[3] == "3"
    assert "ZeroDivisionError" in caplog.text


def test_closing_ends_the_threads_and_forgets_the_rest() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "look" in thread.name]

    ahead = LookAhead(str, threads=3, depth=9, name="look")
    for item in range(9):
        ahead.submit(item)
    ahead.take()
    assert all(name.startswith("look") for name in names())
    assert names()
    ahead.close()
    ahead.close()
    assert names() == []
    assert len(ahead) == 0
    with pytest.raises(RuntimeError):
        ahead.submit(10)


def test_closing_waits_for_what_runs_and_begins_nothing_more() -> None:
    begun: list[int] = []
    has_begun, may_finish = threading.Event(), threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        has_begun.set()
        wait(may_finish)
        begun.append(-item)

    def let_finish() -> None:
        while len(ahead):
            pass
        may_finish.set()

    ahead = LookAhead(work, threads=1, depth=9)
    for item in range(1, 5):
        ahead.submit(item)
    wait(has_begun)
    helper = threading.Thread(target=let_finish)
    helper.start()
    ahead.close()
    helper.join()
    assert begun == [1, -1]


def test_photos_decoded_in_several_threads_are_the_same(tmp_path: Path) -> None:
    paths = list(sample_photos().values())[:12]

    def work(path: Path) -> bytes:
        return decode(path, side=256, max_pixels=MAX_PIXELS).image.tobytes()

    with LookAhead(work, threads=4, depth=len(paths)) as ahead:
        for path in paths:
            ahead.submit(path)
        results = [ahead.take() for _ in paths]
    assert results == [(path, work(path)) for path in paths]


def test_bad_photos_among_good_ones_cost_only_themselves(
    photo: Image.Image, tmp_path: Path
) -> None:
    good = encoded(photo, "JPEG")
    paths = [
        written(tmp_path / str(number), good[:3000] if number % 3 else good) for number in range(30)
    ]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, paths)) == ["RGB", "truncated JPEG", "truncated JPEG"] * 10


# --- Files made by hand, where Pillow writes no such ---


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png(
    width: int, height: int, depth: int, colour: int, pixels: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    row = len(pixels) // height or len(pixels)
    rows = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row or 1))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    image = zlib.compress(rows)
    return png_of([(b"IHDR", header), *extra, (b"IDAT", image), (b"IEND", b"")])


def with_right_checksums(content: bytes) -> bytes:
    """A PNG whose chunks were tampered with, so that only their content is wrong."""
    if not content.startswith(b"\x89PNG"):
        return content
    chunks = []
    at = 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return png_of(chunks)


def tiff(
    width: int,
    height: int,
    pixels: bytes,
    *,
    bits: tuple[int, ...],
    order: str = "<",
    photometric: int = 1,
    sample_format: int = 1,
    extra: int | None = None,
    compression: int = 1,
) -> bytes:
    """A TIFF of one strip (TIFF 6.0)."""
    samples = len(bits)
    if photometric == 1 and samples == 3:
        photometric = 2
    head = 8
    data_at = head + 8 * samples
    data = pixels + bytes(len(pixels) % 2)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, samples, bits[0] if samples == 1 else head),
        (259, 3, 1, compression),
        (262, 3, 1, photometric),
        (273, 4, 1, data_at),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
        (339, 3, 1, sample_format),
    ]
    if extra is not None:
        entries.append((338, 3, 1, extra))
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in sorted(entries):
        short = kind == 3 and (count == 1)
        packed = struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
        if kind == 3 and count == 2:  # two short values fit into the entry itself
            packed = struct.pack(f"{order}HH", *bits)
        directory += struct.pack(f"{order}HHI", tag, kind, count) + packed
    directory += bytes(4)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    many = struct.pack(f"{order}{samples}H", *bits).ljust(8 * samples, b"\0")
    return mark + struct.pack(f"{order}I", data_at + len(data)) + many + data + directory
