"""Read one camera RAW with libraw, which comes with the extra ``raw``; see `raw`.

libraw parses dozens of undocumented formats in C++. The daemon has that done, like all decoding, in
a process that can do nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from photoramd.errors import DecodeError

if TYPE_CHECKING:
    import rawpy

_MAX_PREVIEW_BYTES = 64 << 20

_REASONS = {
    "LibRawFileUnsupportedError": "libraw does not know this kind of RAW",
    "LibRawIOError": "truncated or damaged RAW",
    "LibRawDataError": "damaged RAW",
}


class LibrawError(Exception):
    """libraw could not do what was asked, for the reason given."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A RAW that libraw has opened.

    Attributes:
        width: The width of the image as it is stored, in pixels.
        height: Its height, likewise.
        pixels: How many pixels the sensor's data has, with its margins: width and height.
        flip: How it is turned upright: libraw's number.
    """

    width: int
    height: int
    pixels: tuple[int, int]
    flip: int
    _opened: rawpy.RawPy

    def unpack(self) -> None:
        """Unpack the sensor's data, to see whether all of it is there.

        Raises:
            LibrawError: It cannot be done.
        """
        with _translated():
            self._opened.unpack()

    def preview(self) -> bytes | Image.Image:
        """Return the preview: a JPEG's bytes, or an image.

        Raises:
            LibrawError: There is none that can be used.
        """
        import rawpy

        with _translated():
            thumbnail = self._opened.extract_thumb()
        if thumbnail.format != rawpy.ThumbFormat.JPEG:
            return _image(thumbnail.data)
        content = bytes(thumbnail.data)
        if len(content) > _MAX_PREVIEW_BYTES:
            raise LibrawError("its preview is too large")
        return content

    def develop(self) -> Image.Image:
        """Return the sensor's pixels as an image of half the width and height, upright.

        Raises:
            LibrawError: It cannot be done.
        """
        with _translated():
            return _image(
                self._opened.postprocess(half_size=True, use_camera_wb=True, output_bps=8)
            )


@contextmanager
def open_raw(file: BinaryIO) -> Iterator[Raw]:
    """Open a RAW.

    It is read whole: a process that can open no file cannot give libraw one to read from.

    Raises:
        LibrawError: libraw cannot read it.
        DecodeError: There is not enough memory.
    """
    import rawpy

    with rawpy.RawPy() as opened:
        file.seek(0)
        with _translated():
            opened.open_buffer(file)
            sizes = opened.sizes
        pixels = (sizes.raw_width, sizes.raw_height)
        yield Raw(sizes.width, sizes.height, pixels, sizes.flip, opened)


@contextmanager
def _translated() -> Iterator[None]:
    import rawpy

    try:
        yield
    except (rawpy.LibRawUnsufficientMemoryError, MemoryError) as error:
        lack = MemoryError("libraw")
        lack.__cause__ = error
        raise DecodeError("there is not enough memory to decode it") from lack
    except rawpy.LibRawError as error:
        words = error.args[0] if error.args else "unknown"
        text = words.decode("ascii", "replace") if isinstance(words, bytes) else str(words)
        raise LibrawError(_REASONS.get(type(error).__name__, f"damaged RAW: {text}")) from error


def _image(array: Any) -> Image.Image:
    """Return an image from an array of shape (height, width, 3), or 1 without colours; uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != "uint8":
        raise LibrawError("its pixels are not RGB")
    return Image.fromarray(array)
