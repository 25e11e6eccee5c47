"""Open a photo file without trusting it: the only place where files meet Pillow.

The content decides, not the name: the first bytes choose one of eight readers, and no other
reader of Pillow ever sees a file. Whatever goes wrong, inside Pillow or below it, becomes a
`DecodeError` with a reason that a user understands.

Using this module changes two settings for the whole process, because Pillow has no narrower
ones:

- Warnings from Pillow's own modules (odd EXIF, large images) are ignored: nobody could act on
  them, and real faults become errors here.
- ``Image.MAX_IMAGE_PIXELS`` is raised, never lowered, to the limit asked for. Pillow has no
  limit per call, and checks it partly during decoding; the check that counts is here, on the
  header, before any pixel is decoded. Other users of Pillow in this process still have a limit.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NoReturn

import pillow_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from pillow_heif import HeifImageFile

from photoramd.errors import ChangedError, DecodeError, PhotoramdError
from photoramd.images.av1 import frame_sizes
from photoramd.images.claims import require_plausible
from photoramd.images.formats import HEAD_BYTES, describe, recognise
from photoramd.images.isobmff import boxes, coded_sizes
from photoramd.images.reasons import explained
from photoramd.photo import Fingerprint
from photoramd.system.beneath import open_read
from photoramd.system.files import why_not_opened

# Each decode runs in one thread; the pool above decodes several photos at once instead.
# Thumbnails and depth maps are never looked at.
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# What Pillow logs as an error is raised as one, too.
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def _open_avif(file: IO[bytes]) -> ImageFile.ImageFile:
    """Return an AVIF; if its reader rejects the EXIF, without it."""
    try:
        return AvifImagePlugin.AvifImageFile(file)
    except (SyntaxError, ValueError):
        file.seek(0)
        # Items of an unknown type are skipped (`infe`: ISO/IEC 14496-12, 8.11.6).
        without = re.sub(rb"(infe\x02.{7})Exif", rb"\1Exi_", file.read(), flags=re.DOTALL)
        return AvifImagePlugin.AvifImageFile(io.BytesIO(without))


_READERS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    # Not the factory that turns a JPEG with several images into an MPO: only the first image is
    # wanted, and a damaged index of the others must not matter.
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": _open_avif,
    "HEIF": HeifImageFile,
}

# The first three are read as a whole. For JPEG and GIF Pillow reads zeros byte by byte: a sparse
# file of terabytes would hold up all photos behind it for days.
_MAX_BYTES = dict.fromkeys(("WEBP", "AVIF", "HEIF", "JPEG", "GIF"), 1 << 28)
_MAX_BYTES |= dict.fromkeys(("TIFF", "PNG", "BMP"), 1 << 30)
_ZERO_TAIL_BYTES = 4096
_SEARCH_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class OpenPhoto:
    """A photo file whose header is read, with no pixel decoded yet.

    Attributes:
        image: Lazy: its size and mode are known, and ``load()`` decodes its pixels.
        format: ``JPEG``, ``PNG``, ``WEBP``, ``TIFF``, ``BMP``, ``GIF``, ``AVIF`` or ``HEIF``.
        fingerprint: The fingerprint of the open file, before anything was read from it.
        file: The file that ``image`` reads from.
        data_offset: The position of ``file`` after the header was read.
    """

    image: ImageFile.ImageFile
    format: str
    fingerprint: Fingerprint
    file: IO[bytes]
    data_offset: int


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that may be a photo.

    Attributes:
        path: The path as it was given.
        file: The open file, which hides its descriptor.
        descriptor: For callers that need one. Its position is that of ``file``.
        fingerprint: The fingerprint of the open file, before anything was read from it.
        head: The first bytes.
    """

    path: str | os.PathLike[str]
    file: IO[bytes]
    descriptor: int
    fingerprint: Fingerprint
    head: bytes


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[OpenFile]:
    """Open a file, and turn whatever Pillow raises inside the block into our errors.

    The file is opened once; no symbolic link is followed, a pipe is not waited for.

    Raises:
        DecodeError: It cannot be opened, or the block raised an exception that is not
            photoramd's own.
        ChangedError: The file changed between the beginning and the end of the block.
    """
    _quieten_pillow()
    fd = _open_regular_file(path)
    with io.BufferedReader(_File(fd)) as file:
        before = _fingerprint(fd, path)
        failure: PhotoramdError | None = None
        try:
            yield OpenFile(path, file, fd, before, file.read(HEAD_BYTES))
        except PhotoramdError as error:
            failure = error
        except Exception as error:
            failure = explained(error, path, file)
        # A file that is being written is not damaged, whatever was read from it.
        if not _fingerprint(fd, path).is_stable_since(before):
            raise ChangedError("it changed while it was read", path=path) from failure
        if failure is not None:
            raise failure


@contextlib.contextmanager
def open_photo(
    path: str | os.PathLike[str], *, max_pixels: int | None = None
) -> Iterator[OpenPhoto]:
    """Open a photo: `open_file` and `open_image` in one.

    Raises:
        DecodeError: See there.
        ChangedError: See there.
    """
    with open_file(path) as opened, open_image(opened, max_pixels=max_pixels) as photo:
        yield photo


@contextlib.contextmanager
def open_content(
    data: bytes, path: str | os.PathLike[str], *, max_pixels: int | None = None
) -> Iterator[OpenPhoto]:
    """Open a photo whose bytes are in memory; see `open_image`.

    Args:
        data: The bytes.
        path: The photo's path, for messages.
        max_pixels: See `open_image`.

    Raises:
        DecodeError: See `open_image`; or the block raised an exception that is not photoramd's own.
    """
    _quieten_pillow()
    file = io.BytesIO(data)
    opened = OpenFile(path, file, -1, Fingerprint(len(data), 0, 0, 0), data[:HEAD_BYTES])
    try:
        with open_image(opened, max_pixels=max_pixels) as photo:
            yield photo
    except PhotoramdError:
        raise
    except Exception as error:
        raise explained(error, path, file) from error


_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82"}


def require_end(photo: OpenPhoto, path: str | os.PathLike[str]) -> None:
    """Refuse a JPEG or PNG whose end marker does not follow its header.

    Half a file may decode as well: libjpeg and zlib take the zeros at the end of a preallocated,
    half-copied one for pixels. JPEG's marker cannot occur within coded pixels, and PNG's does
    not in practice (ITU-T T.81, B.1.1.3; PNG 1.2, 4.1.4). Other bytes may follow it.

    Raises:
        DecodeError: The end is missing.
    """
    marker = _END_MARKERS.get(photo.format)
    end = photo.fingerprint.size
    while marker is not None:
        if end <= photo.data_offset:
            raise DecodeError(f"truncated {photo.format}: its end is missing", path=path)
        start = max(photo.data_offset, end - _SEARCH_BYTES)
        photo.file.seek(start)
        if marker in photo.file.read(end - start + len(marker)):
            return
        end = start


class _File(io.FileIO):
    """A file that hides its descriptor.

    libtiff would map the file into memory, and a program that truncates it meanwhile would
    kill the process with SIGBUS.
    """

    def fileno(self) -> NoReturn:
        raise io.UnsupportedOperation("fileno")


_FILE_TYPES = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _open_regular_file(path: str | os.PathLike[str]) -> int:
    try:
        fd = open_read(path)
    except (OSError, ValueError) as error:
        raise DecodeError(why_not_opened(error), path=path) from error
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        return fd
    os.close(fd)
    if stat.S_ISREG(status.st_mode):
        raise DecodeError("it is empty", path=path)
    kind = _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "not a regular file")
    raise DecodeError(f"it is {kind}, not a photo", path=path)


def _fingerprint(fd: int, path: str | os.PathLike[str]) -> Fingerprint:
    try:
        return Fingerprint.of(os.fstat(fd))
    except OSError as error:  # a network share may forget an open file
        raise DecodeError(f"it cannot be read: {error.strerror}", path=path) from error


@contextlib.contextmanager
def open_image(opened: OpenFile, *, max_pixels: int | None = None) -> Iterator[OpenPhoto]:
    """Read the header of a photo, inside the block of `open_file`.

    Args:
        opened: The file.
        max_pixels: Refuse images of more pixels; None for a block that decodes none.

    Raises:
        DecodeError: It is not a photo, is cut off or too large.
    """
    path, file, fingerprint, head = opened.path, opened.file, opened.fingerprint, opened.head
    format_ = recognise(head)
    if format_ is None:
        raise DecodeError(f"photoramd cannot read it: {describe(head)}", path=path)
    if fingerprint.size > _MAX_BYTES.get(format_, fingerprint.size):
        size = f"{fingerprint.size / 1e9:.1f} GB"
        raise DecodeError(f"at {size} it is too large for a {format_} photo", path=path)
    if format_ in ("WEBP", "AVIF", "HEIF") and ends_in_zeros(file, _content_end(file, head)):
        raise DecodeError(f"truncated {format_}: it ends in zeros", path=path)
    require_plausible(format_, file, fingerprint.size, path)
    if max_pixels is not None:
        _raise_pillow_limit(max_pixels)
    file.seek(0)
    with _READERS[format_](file) as image:
        if max_pixels is not None:
            check_pixels(path, *_decoded_size(file, image, format_), max_pixels)
        yield OpenPhoto(image, format_, fingerprint, file, file.tell())


def ends_in_zeros(file: IO[bytes], end: int, tail_bytes: int = _ZERO_TAIL_BYTES) -> bool:
    """Return whether the last bytes before an offset are all zero: not copied yet.

    Coded pixels never are, but a preallocated file that is still being copied has zeros there.
    """
    if not 0 < end <= file.seek(0, os.SEEK_END):
        return False  # cut off, or damaged: its reader will say so
    start = max(0, end - tail_bytes)
    file.seek(start)
    return not any(file.read(end - start))


def _content_end(file: IO[bytes], head: bytes) -> int:
    """Return where a WebP, AVIF or HEIF ends by its own account; padding may follow."""
    if head.startswith(b"RIFF"):
        return 8 + int(struct.unpack_from("<I", head, 4)[0])
    return max((start + length for _, start, length in boxes(file)), default=0)


def _decoded_size(file: IO[bytes], image: ImageFile.ImageFile, format_: str) -> tuple[int, int]:
    """Return the largest size that is decoded, whatever comes out of it."""
    if format_ == "HEIF":
        # Pillow tells the size after a crop, but the whole image is decoded.
        return max([image.size, *coded_sizes(file)], key=_pixels)
    if format_ == "AVIF":
        # Pillow tells the size that the properties claim.
        return max([image.size, *frame_sizes(file)], key=_pixels)
    return image.size


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def check_pixels(path: str | os.PathLike[str], width: int, height: int, max_pixels: int) -> None:
    """Refuse a photo that is too large.

    Raises:
        DecodeError: It has more than ``max_pixels`` pixels.
    """
    if width * height > max_pixels:
        raise DecodeError(
            f"it has {width} x {height} pixels, more than the limit of {max_pixels:,}",
            path=path,
            remedy="raise max_pixels in [decode]",
        )


def _raise_pillow_limit(max_pixels: int) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and limit < max_pixels:
        Image.MAX_IMAGE_PIXELS = max_pixels


_quieten_lock = threading.Lock()
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def _quieten_pillow() -> None:
    # warnings.catch_warnings is not thread-safe; one permanent filter is. If others are set
    # later, as pytest does for each test, it is put first again.
    if warnings.filters[:1] != [_QUIET]:
        with _quieten_lock:
            warnings.filterwarnings("ignore", module=r"PIL\.")


_quieten_pillow()
