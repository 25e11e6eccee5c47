"""Find the EXIF of an open photo, whatever its format; decode no pixel."""

from __future__ import annotations

import io
import zlib
from typing import IO

from PIL import JpegImagePlugin

from photoramd.images.exif import Exif, read, read_block
from photoramd.images.opener import OpenPhoto
from photoramd.images.png import chunks

_MAX_PROFILE_BYTES = 1 << 20
_PROFILES = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_EXIF_SEGMENT = b"Exif\0\0"


def exif_of(photo: OpenPhoto) -> Exif:
    """Return the EXIF of a photo; nothing if it has none, or what is damaged beyond reading.

    Raises:
        OSError: The disk failed.
    """
    if photo.format == "TIFF":
        return read(photo.file)
    if photo.format == "PNG" and "exif" not in photo.image.info:
        # Pillow would decode the pixels, to see what follows them.
        photo.image.info["exif"] = _in_png(photo.file, photo.fingerprint.size)
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
        if content.startswith(_PROFILES):
            profile = profile or _profile(content, is_packed=kind == b"zTXt")
    return profile


def _profile(content: bytes, *, is_packed: bool) -> bytes:
    """Return a block of EXIF as ImageMagick and older programs write it: in hexadecimal."""
    body = content.partition(b"\0")[2]
    try:
        if is_packed:
            body = zlib.decompressobj().decompress(body[1:], 2 * _MAX_PROFILE_BYTES)
        # The name of the profile, its length, and then the digits.
        return bytes.fromhex(body.split(maxsplit=2)[2].decode("ascii"))
    except (zlib.error, ValueError, IndexError):
        return b""
