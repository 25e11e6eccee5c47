"""Find the EXIF of an open photo, whatever its format; decode no pixel."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import IO, Any

from PIL import JpegImagePlugin

from photoramd.images.exif import Exif, read, read_block
from photoramd.images.opener import OpenPhoto
from photoramd.images.png import chunks

_MAX_PROFILE_BYTES = 1 << 20
_PROFILES = ("Raw profile type exif", "Raw profile type APP1")
_EXIF_SEGMENT = b"Exif\0\0"


def exif_of(photo: OpenPhoto) -> Exif:
    """Return the EXIF of a photo; nothing if it has none, or what is damaged beyond reading.

    Raises:
        OSError: The disk failed.
    """
    if photo.format == "TIFF":
        return read(photo.file)
    if photo.format == "PNG" and "exif" not in photo.image.info:
        # Pillow would decode the pixels, to see what follows them. If it has, it saw no EXIF there.
        is_decoded = not photo.image.tile
        photo.image.info["exif"] = (
            _in_texts(photo.image.info)
            if is_decoded
            else _in_png(photo.file, photo.fingerprint.size)
        )
    block = photo.image.info.get("exif")
    return read_block(block) if isinstance(block, bytes) else Exif()


def exif_in_jpeg(content: bytes) -> Exif:
    """Return the EXIF of a JPEG inside another file: the first, if it has several."""
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    except Exception:  # of any kind: it is none, or damaged
        return Exif()
    segments = (s for kind, s in image.applist if kind == "APP1" and s.startswith(_EXIF_SEGMENT))
    return read_block(next(segments, b""))


def _in_png(file: IO[bytes], size: int) -> bytes:
    """Return the block of EXIF in a PNG, before or after its pixels; empty if it has none."""
    profile = b""
    for kind, start, length in chunks(file, size):
        if kind not in (b"eXIf", b"tEXt", b"zTXt") or length > _MAX_PROFILE_BYTES:
            continue
        file.seek(start)
        content = file.read(length)
        if kind == b"eXIf":
            return content
        name, _, body = content.partition(b"\0")
        if name.decode("latin-1") in _PROFILES:
            profile = profile or _profile(body if kind == b"tEXt" else _inflated(body[1:]))
    return profile


def _in_texts(info: Mapping[str | tuple[int, int], Any]) -> bytes:
    """Return the same block, of what Pillow read from a PNG."""
    texts = (info.get(name) for name in _PROFILES)
    return next((_profile(text.encode()) for text in texts if isinstance(text, str)), b"")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, 2 * _MAX_PROFILE_BYTES)
    except zlib.error:
        return b""


def _profile(text: bytes) -> bytes:
    """Return a block of EXIF from the text that ImageMagick and older programs write."""
    try:
        # The name of the profile, its length, and then hexadecimal digits.
        return bytes.fromhex(text.split(maxsplit=2)[2].decode("ascii"))
    except (ValueError, IndexError):
        return b""
