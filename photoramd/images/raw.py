"""Recognise camera RAW files, check that they are whole, and decode them with libraw.

The model sees the preview that the camera put into the file, as viewers do. Without one of
sufficient size it sees the sensor's data, developed at half the width and height. libraw runs in
a process of its own (`raw_worker`), so that no file can end this one. It comes with the extra
``raw``; without that, RAW files are recognised and not tagged.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from PIL import ExifTags, Image, JpegImagePlugin

from photoramd.errors import DecodeError
from photoramd.images.formats import (
    RAW_REMEDY,
    RAW_SUFFIXES,
    describe,
    is_text,
    reads_raw,
    recognise,
    suffix,
)
from photoramd.images.opener import OpenFile, check_pixels, ends_in_zeros
from photoramd.images.raw_structure import structure
from photoramd.system import child

TIMEOUT_SECONDS = 120.0
"""The limit for one answer of libraw: twice the processor time that it is allowed."""

_ZERO_TAIL_BYTES = 1 << 16
"""More than the coded rows of black that an image may end with, in most formats."""

_WORKER = Path(__file__).with_name("raw_worker.py")

_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's orientation for each of libraw's (``flip``, from 0 to 7)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image made from a RAW.

    Attributes:
        image: Decoded; a preview may have been reduced.
        orientation: Its EXIF orientation, 1 to 8.
        width: The width of the RAW as it is stored, in pixels.
        height: Its height, likewise.
    """

    image: Image.Image
    orientation: int
    width: int
    height: int


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
    path = opened.path
    if not reads_raw():
        raise DecodeError("it is a camera RAW, which needs libraw", path=path, remedy=RAW_REMEDY)
    if is_text(opened.head) or not any(opened.head):
        raise DecodeError(f"photoramd cannot read it: {describe(opened.head)}", path=path)
    try:
        _require_whole(opened, max_pixels)
        with suppress(_LibrawError, _NoPreviewError):
            said, content = _ask("preview", opened, max_pixels)
            return _preview(said, content, opened, side, max_pixels)
        said, content = _ask("develop", opened, max_pixels)
    except _LibrawError as error:
        raise DecodeError(str(error), path=path) from error
    # libraw has already turned it upright.
    return Picture(_pixels(said, content), 1, *_upright_size(said))


class _LibrawError(Exception):
    """libraw could not do what was asked, for the reason given."""


class _NoPreviewError(Exception):
    """The preview cannot be used; the sensor's data is used instead."""


def _require_whole(opened: OpenFile, max_pixels: int) -> None:
    """Refuse a file that is still being copied, though its preview may be there already."""
    size = opened.fingerprint.size
    if ends_in_zeros(opened.file, size, min(_ZERO_TAIL_BYTES, size // 2)):
        raise DecodeError("truncated RAW: it ends in zeros", path=opened.path)
    if structure(opened.file).fits(size):
        return
    # Its format is not known here, or its lengths are not meant literally: it is whole if it can
    # be unpacked to its end.
    _ask("unpack", opened, max_pixels)


def _preview(
    said: dict[str, Any], content: bytes, opened: OpenFile, side: int, max_pixels: int
) -> Picture:
    if said["content"] == "RGB":
        image = _pixels(said, content)
        if min(image.size) < side // 2:
            raise _NoPreviewError
        return Picture(image, _orientation_of(said["flip"]), said["width"], said["height"])
    try:
        jpeg = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
        if min(jpeg.size) < side // 2:
            raise _NoPreviewError
        check_pixels(opened.path, *jpeg.size, max_pixels)
        jpeg.draft("RGB", (side, side))
        jpeg.load()
    except (DecodeError, _NoPreviewError, MemoryError):
        raise
    except Exception as error:  # of any kind: a bad preview is none
        raise _NoPreviewError from error
    return Picture(jpeg, _orientation(jpeg, said["flip"]), said["width"], said["height"])


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


def _pixels(said: dict[str, Any], content: bytes) -> Image.Image:
    width, height = said["size"]
    return Image.frombytes("RGB", (width, height), content)


def _upright_size(said: dict[str, Any]) -> tuple[int, int]:
    width, height = said["width"], said["height"]
    return (height, width) if said["flip"] & 4 else (width, height)


def _ask(what: str, opened: OpenFile, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    """Let libraw do something in a process of its own; return what it said, and the bytes.

    Raises:
        _LibrawError: It could not, because of the file.
        DecodeError: It could not, and must not be asked about this file again.
    """
    arguments = [what, str(opened.descriptor), str(max_pixels)]
    try:
        done = child.run(
            # -P: it must not import the modules beside it.
            [sys.executable, "-P", os.fspath(_WORKER), *arguments],
            TIMEOUT_SECONDS,
            descriptors=(opened.descriptor,),
            environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except TimeoutError as error:  # an OSError, too, so it comes first
        raise DecodeError(f"libraw took over {TIMEOUT_SECONDS:g} s", path=opened.path) from error
    except OSError as error:
        reason = f"libraw cannot be started: {error.strerror}"
        raise DecodeError(reason, path=opened.path) from error
    if done.returncode < 0:
        _explain_signal(-done.returncode, opened)
    if done.returncode > 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise DecodeError(f"libraw cannot be used: {last}", path=opened.path, remedy=RAW_REMEDY)
    line, _, content = done.stdout.partition(b"\n")
    said: dict[str, Any] = json.loads(line)
    if said.get("error") == "size":
        check_pixels(opened.path, said["width"], said["height"], max_pixels)
    if said.get("error") == "memory":
        raise DecodeError("there is not enough memory to decode it", path=opened.path)
    if "error" in said:
        raise _LibrawError(_REASONS.get(said["kind"], f"damaged RAW: {said['text']}"))
    return said, content


_REASONS = {
    "LibRawFileUnsupportedError": "libraw does not know this kind of RAW",
    "LibRawIOError": "truncated or damaged RAW",
    "LibRawDataError": "damaged RAW",
}


def _explain_signal(number: int, opened: OpenFile) -> NoReturn:
    if number in (signal.SIGXCPU, signal.SIGKILL):
        reason = "libraw took too much processor time or memory"
        raise DecodeError(reason, path=opened.path)
    raise _LibrawError(f"damaged RAW: libraw crashed ({signal.Signals(number).name})")
