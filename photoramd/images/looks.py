"""Look at photos: their size and what EXIF says of them, from the header alone."""

from __future__ import annotations

from photoramd.images import raw
from photoramd.images.exif import look
from photoramd.images.exif_blocks import exif_of
from photoramd.images.opener import OpenFile, OpenPhoto, open_image
from photoramd.images.orientation import transposition_of, upright
from photoramd.photo import Look


def look_at(opened: OpenFile, *, max_pixels: int) -> Look:
    """Return what a file says of its photo, as `decoder.decode` does; decode no pixels.

    Whether the file is whole is not checked.

    Args:
        opened: The file, inside the block of `opener.open_file`.
        max_pixels: Refuse photos of more pixels.

    Raises:
        DecodeError: It is not a photo, or too large.
    """
    if raw.is_raw(opened):
        return raw.look_at(opened, max_pixels=max_pixels)
    with open_image(opened, max_pixels=max_pixels) as photo:
        return look_of(photo, photo.image.size)


def look_of(photo: OpenPhoto, size: tuple[int, int]) -> Look:
    """Return what an open photo says, before or after its pixels are decoded.

    Args:
        photo: The photo.
        size: Width and height in full size, as its reader decodes it.
    """
    exif = exif_of(photo)
    return look(upright(size, transposition_of(photo)), photo.format, exif)
