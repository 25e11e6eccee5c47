"""Small pictures: never larger than the photo, in sRGB, and without anything but pixels."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from photoramd.images.reduction import fitted, reduced
from photoramd.images.renditions import PREVIEW, RENDITIONS, THUMBNAIL, Rendition
from tests.support import icc

SWAPPED = icc.profile(red=icc.BLUE, blue=icc.RED)
"""What is red by its numbers is blue to see."""


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def is_near(image: Image.Image, colour: tuple[int, int, int], distance: int = 12) -> bool:
    found = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple)
    return all(abs(a - b) <= distance for a, b in zip(found, colour, strict=True))


@pytest.mark.parametrize(
    ("size", "side", "result"),
    [
        ((6000, 4000), 320, (320, 213)),
        ((4000, 6000), 320, (213, 320)),
        ((320, 100), 320, (320, 100)),
        ((20, 10), 320, (20, 10)),
        ((100_000, 10), 320, (320, 1)),
        ((1, 5000), 1440, (1, 1440)),
    ],
)
def test_a_picture_fits_and_is_never_enlarged(
    size: tuple[int, int], side: int, result: tuple[int, int]
) -> None:
    assert fitted(size, side) == result


@pytest.mark.parametrize("rendition", RENDITIONS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("size", [(3000, 2000), (40, 30), (1, 1), (20_000, 3)])
def test_it_is_of_its_format_and_size(rendition: Rendition, size: tuple[int, int]) -> None:
    content = reduced(Image.new("RGB", size, "teal"), b"", rendition)
    image = opened(content)
    assert image.format == rendition.format
    assert Image.MIME[rendition.format] == rendition.media_type
    assert image.size == fitted(size, rendition.side)
    assert is_near(image, (0, 128, 128))
    assert rendition.fits(content)


@pytest.mark.parametrize("rendition", RENDITIONS.values(), ids=lambda each: each.name)
def test_noise_fits_too(rendition: Rendition) -> None:
    noise = Image.effect_noise((rendition.side, rendition.side), 200)
    image = Image.merge("RGB", [noise, noise.transpose(Image.Transpose.ROTATE_90), noise])
    assert rendition.fits(reduced(image, b"", rendition))


def test_what_is_no_such_picture_is_told() -> None:
    webp = reduced(Image.new("RGB", (8, 8)), b"", THUMBNAIL)
    assert not PREVIEW.fits(webp)
    assert not THUMBNAIL.fits(b"")
    assert not THUMBNAIL.fits(b"<svg/>")
    assert not THUMBNAIL.fits(webp + bytes(THUMBNAIL.most_bytes))


@pytest.mark.parametrize("rendition", RENDITIONS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("side", [100, 2000])
def test_colours_are_converted_to_srgb(rendition: Rendition, side: int) -> None:
    image = opened(reduced(Image.new("RGB", (side, side), (255, 0, 0)), SWAPPED, rendition))
    assert is_near(image, (0, 0, 255))
    assert "icc_profile" not in image.info


def test_a_profile_that_says_srgb_changes_nothing() -> None:
    content = reduced(Image.new("RGB", (100, 100), (200, 100, 50)), icc.profile(), THUMBNAIL)
    assert is_near(opened(content), (200, 100, 50))


@pytest.mark.parametrize(
    "profile",
    [b"x", SWAPPED[:200], SWAPPED[:140] + bytes(400), icc.profile(space=b"GRAY"), bytes(5 << 20)],
    ids=["text", "cut off", "without tags", "grey", "too large"],
)
def test_a_profile_that_cannot_be_used_is_ignored(profile: bytes) -> None:
    content = reduced(Image.new("RGB", (50, 50), (255, 0, 0)), profile, THUMBNAIL)
    assert is_near(opened(content), (255, 0, 0))


def test_nothing_of_the_photo_is_kept_but_its_pixels(tmp_path: Path) -> None:
    image = Image.new("RGB", (50, 50), "teal")
    image.info = {
        "icc_profile": SWAPPED, "exif": b"Exif\0\0II*\0", "comment": b"secret", "xmp": b"secret",
        "dpi": (300, 300),
    }  # fmt: skip
    for rendition in RENDITIONS.values():
        content = reduced(image, SWAPPED, rendition)
        assert b"secret" not in content
        assert b"Exif" not in content
        assert b"acsp" not in content
