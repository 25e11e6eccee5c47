"""Recognise camera RAW files, check that they are whole, and decode them with libraw.

The model sees the preview that the camera put into the file, as viewers do. Without one of
sufficient size it sees the sensor's data, developed at half the width and height. libraw comes with
the extra ``raw``; without that, RAW files are recognised and not tagged.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from PIL import ExifTags, Image, JpegImagePlugin

from photoramd.errors import DecodeError
from photoramd.images.exif import look
from photoramd.images.exif_blocks import exif_in_jpeg
from photoramd.images.formats import (
    RAW_REMEDY,
    RAW_SUFFIXES,
    describe,
    is_text,
    reads_raw,
    recognise,
    suffix,
)
from photoramd.images.libraw import LibrawError, Raw, open_raw
from photoramd.images.opener import OpenFile, check_pixels, ends_in_zeros
from photoramd.images.raw_exif import raw_exif
from photoramd.images.raw_structure import structure
from photoramd.photo import Look

_MAX_BYTES = 1 << 30
"""A RAW is read whole."""

_ZERO_TAIL_BYTES = 1 << 16
"""More than the coded rows of black that an image may end with, in most formats."""

_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's orientation for each of libraw's (``flip``, from 0 to 7)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image made from a RAW.

    Attributes:
        image: Decoded; a preview may have been reduced.
        orientation: Its EXIF orientation, 1 to 8.
        look: What the RAW says of the photo.
    """

    image: Image.Image
    orientation: int
    look: Look


def is_raw(opened: OpenFile) -> bool:
    """Return whether a file is a RAW: by its suffix, unless its content is another photo's.

    Most RAW formats are TIFF by their first bytes.
    """
    is_named_so = suffix(os.path.basename(os.fspath(opened.path))) in RAW_SUFFIXES
    return is_named_so and recognise(opened.head) in (None, "TIFF")


def develop(opened: OpenFile, *, side: int, max_pixels: int) -> Picture:
    """Make an image from a RAW.

    Args:
        opened: The file.
        side: Twice the shorter side that the model needs, in pixels. A preview's shorter side
            must have half of it; a larger preview is reduced to no less than it.
        max_pixels: Refuse a RAW, or a preview, of more pixels, before any is decoded.

    Raises:
        DecodeError: libraw is missing, does not know the format, or fails; or the file is cut
            off, damaged or too large.
    """
    path, size = opened.path, opened.fingerprint.size
    _require_readable(opened)
    # A file that is still being copied, though its preview may be there already.
    if ends_in_zeros(opened.file, size, min(_ZERO_TAIL_BYTES, size // 2)):
        raise DecodeError("truncated RAW: it ends in zeros", path=path)
    is_whole = structure(opened.file).fits(size)
    try:
        with open_raw(cast("BinaryIO", opened.file)) as raw:
            check_pixels(path, *raw.pixels, max_pixels)
            if not is_whole:
                # Its format is not known here, or its lengths are not meant literally: it is
                # whole if it can be unpacked to its end.
                raw.unpack()
            look_ = _look(raw, opened)
            with suppress(LibrawError, _NoPreviewError):
                return Picture(*_preview(raw, opened, side, max_pixels), look_)
            # libraw turns it upright.
            return Picture(raw.develop(), 1, look_)
    except LibrawError as error:
        raise DecodeError(str(error), path=path) from error


def look_at(opened: OpenFile, *, max_pixels: int) -> Look:
    """Return what a RAW says of its photo; decode nothing, though libraw reads it whole.

    Args:
        opened: The file.
        max_pixels: Refuse a RAW of more pixels.

    Raises:
        DecodeError: libraw is missing, does not know the format, or fails; or the file is too
            large.
    """
    _require_readable(opened)
    try:
        with open_raw(cast("BinaryIO", opened.file)) as raw:
            check_pixels(opened.path, *raw.pixels, max_pixels)
            return _look(raw, opened)
    except LibrawError as error:
        raise DecodeError(str(error), path=opened.path) from error


def _require_readable(opened: OpenFile) -> None:
    path, size = opened.path, opened.fingerprint.size
    if not reads_raw():
        raise DecodeError("it is a camera RAW, which needs libraw", path=path, remedy=RAW_REMEDY)
    if is_text(opened.head) or not any(opened.head):
        raise DecodeError(f"photoramd cannot read it: {describe(opened.head)}", path=path)
    if size > _MAX_BYTES:
        raise DecodeError(f"at {size / 1e9:.1f} GB it is too large for a RAW photo", path=path)


def _look(raw: Raw, opened: OpenFile) -> Look:
    exif = raw_exif(opened.file)
    if not exif:
        # libraw puts the values that it finds in front of a preview without EXIF.
        with suppress(LibrawError):
            found = raw.preview()
            if isinstance(found, bytes):
                exif = exif_in_jpeg(found)
    size = (raw.height, raw.width) if raw.flip & 4 else (raw.width, raw.height)
    return look(size, "RAW", exif)


class _NoPreviewError(Exception):
    """The preview cannot be used; the sensor's data is used instead."""


def _preview(raw: Raw, opened: OpenFile, side: int, max_pixels: int) -> tuple[Image.Image, int]:
    """Return a preview, and its EXIF orientation."""
    found = raw.preview()
    if isinstance(found, Image.Image):
        if min(found.size) < side // 2:
            raise _NoPreviewError
        return found, _orientation_of(raw.flip)
    try:
        jpeg = JpegImagePlugin.JpegImageFile(io.BytesIO(found))
        if min(jpeg.size) < side // 2:
            raise _NoPreviewError
        check_pixels(opened.path, *jpeg.size, max_pixels)
        jpeg.draft("RGB", (side, side))
        jpeg.load()
    except (DecodeError, _NoPreviewError, MemoryError):
        raise
    except Exception as error:  # of any kind: a bad preview is none
        raise _NoPreviewError from error
    return jpeg, _orientation(jpeg, raw.flip)


def _orientation(jpeg: JpegImagePlugin.JpegImageFile, flip: int) -> int:
    """Return a preview's own orientation, or the RAW's where it has none."""
    exif = [s for kind, s in jpeg.applist if kind == "APP1" and s.startswith(b"Exif\0\0")]
    found = Image.Exif()
    # libraw puts another one in front of the preview's own.
    with suppress(Exception):  # bad EXIF must not cost the photo, however it is bad
        found.load(exif[-1])
        own = found.get(ExifTags.Base.Orientation)
        if isinstance(own, int) and 1 <= own <= 8:
            return own
    return _orientation_of(flip)


def _orientation_of(flip: int) -> int:
    return _ORIENTATIONS[flip] if 0 <= flip < len(_ORIENTATIONS) else 1
