"""Make the small pictures that people look at: sRGB, and nothing of the photo but its pixels.

Browsers take a picture without a profile for sRGB. So colours are converted, which is not done for
models, and neither profile nor EXIF, which has places in it, is kept.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

from photoramd.images.renditions import Rendition

_METHOD = 2
"""WebP's trade of time for size, from 0 to 6."""

_REDUCING_GAP = 1.5
_MOST_PROFILE_BYTES = 4 << 20
_SRGB = ImageCms.createProfile("sRGB")

# Saving imports Pillow's common formats, which a process that can open no file cannot.
Image.preinit()


def reduced(image: Image.Image, profile: bytes, rendition: Rendition) -> bytes:
    """Return a small picture of a photo.

    Args:
        image: The photo, upright, mode RGB.
        profile: Its ICC profile; empty if it has none.
        rendition: The kind of picture.
    """
    size = fitted(image.size, rendition.side)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    image = _in_srgb(image, profile)
    buffer = io.BytesIO()
    image.save(buffer, rendition.format, quality=rendition.quality, method=_METHOD)
    return buffer.getvalue()


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return width and height with a longer side of at most ``side``, and at least one pixel."""
    longer = max(size)
    if longer <= side:
        return size
    width, height = (max(1, round(each * side / longer)) for each in size)
    return width, height


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    transform = _transform(profile) if 0 < len(profile) <= _MOST_PROFILE_BYTES else None
    if transform is None:
        return image
    converted = transform.apply(image)
    converted.info = {}  # it would be saved with the profile of sRGB
    return converted


@lru_cache(maxsize=4)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return what converts colours to sRGB; None for a bad profile, or one of other colours.

    Pixels of other colours (grey, CMYK) have become RGB already.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != "RGB":
            return None
        return ImageCms.buildTransform(
            opened,
            _SRGB,
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
