"""How photos are turned upright (EXIF 3.0, 4.6.5.1.6, tag 0x0112)."""

from __future__ import annotations

import logging

from PIL import ExifTags, Image

from photoramd.images.opener import OpenPhoto

log = logging.getLogger(__name__)

# The operation that makes each orientation upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


def transposition(orientation: object) -> Image.Transpose | None:
    """Return what turns a photo of an EXIF orientation upright; None if nothing does."""
    return _TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None


def transposition_of(photo: OpenPhoto) -> Image.Transpose | None:
    """Return what turns the pixels of an open photo upright once its reader decoded them."""
    # Two readers turn the pixels themselves: TIFF's by its orientation, HEIF's by the rotation,
    # which overrules EXIF. AVIF's turns nothing, and reports the rotation as if it were EXIF's.
    if photo.format in ("TIFF", "HEIF"):
        return None
    try:
        return transposition(photo.image.getexif().get(ExifTags.Base.Orientation))
    except Exception as error:  # bad EXIF must not cost the photo, however it is bad
        log.debug("unreadable EXIF: %s", error)
        return None


def upright(size: tuple[int, int], turned: Image.Transpose | None) -> tuple[int, int]:
    """Return width and height after a transposition."""
    return (size[1], size[0]) if turned in _SIDEWAYS else size
