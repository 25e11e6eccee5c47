"""Find the XMP packets, the IPTC records and the EXIF inside a photo; decode no pixel.

Formats: XMP Specification Parts 1 and 3 (ISO 16684-1), IPTC-NAA Information Interchange Model
4.2, Photoshop image resource blocks, PNG 1.2.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from PIL import IptcImagePlugin, JpegImagePlugin, TiffImagePlugin

from photoramd.images.opener import OpenFile, OpenPhoto, open_file, open_image
from photoramd.images.png import chunks
from photoramd.images.raw import is_raw
from photoramd.images.raw_structure import structure
from photoramd.metadata.containers import (
    IPTC_RESOURCE,
    MAX_XMP_BYTES,
    PNG_XMP,
    XMP_EXTENSION,
    UnreadableError,
    inflated,
    international_text,
    photoshop_resources,
)
from photoramd.metadata.iptc import datasets

Dataset = tuple[tuple[int, int], bytes]
"""Record and number of an IPTC data set, and its value."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of metadata: an XMP packet or an IPTC record.

    Attributes:
        xmp: The packet; empty for IPTC.
        iptc: The data sets, which may end with an `UnreadableError`.
        is_extension: Whether the packet continues another one.
    """

    xmp: bytes = b""
    iptc: Iterable[Dataset] = ()
    is_extension: bool = False


@dataclass(frozen=True, slots=True)
class Blocks:
    """The metadata inside an open photo.

    Attributes:
        sources: Where blocks are; each yields those it finds, and may raise an exception of any
            kind where they are damaged.
        exif: Returns EXIF's first directory: tag to value. It may raise likewise.
    """

    sources: tuple[Iterator[Block], ...]
    exif: Callable[[], Mapping[int, Any]] = field(default=dict)


@contextmanager
def open_blocks(path: str | os.PathLike[str]) -> Iterator[Blocks]:
    """Open a photo for its metadata.

    Among camera RAW files, those based on TIFF (DNG, CR2, NEF, ARW and others), CR3 and RAF are
    read; others are assumed to have none.

    Args:
        path: The photo; symbolic links are not followed.

    Raises:
        DecodeError: The file cannot be read, or has no photo's header.
        ChangedError: The file changed while it was read.
    """
    with open_file(path) as opened:
        if is_raw(opened):
            yield Blocks(tuple(_raw_sources(opened)))
            return
        with open_image(opened) as photo:
            sources = _SOURCES.get(photo.format, (_xmp_in_info,))
            yield Blocks(tuple(source(photo) for source in sources), partial(_exif, photo))


def _exif(photo: OpenPhoto) -> Mapping[int, Any]:
    if photo.format == "PNG" and "exif" not in photo.image.info:
        return {}  # Pillow would look behind the pixels, and decode them for that
    return photo.image.getexif()


# --- XMP ---


def _xmp_in_info(photo: OpenPhoto) -> Iterator[Block]:
    packet = photo.image.info.get("xmp")
    if isinstance(packet, tuple):  # a TIFF tag of type BYTE
        packet = bytes(packet)
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "surrogateescape")
    if isinstance(packet, bytes):
        yield Block(packet)


_GUID = re.compile(rb"HasExtendedXMP[\"'=>\s]++([0-9A-F]{32})")


def _extended_xmp(photo: OpenPhoto) -> Iterator[Block]:
    """Yield what is beyond a JPEG's 64 KB packet (XMP Specification Part 3, 1.1.3.1)."""
    main = photo.image.info.get("xmp")
    guid = _GUID.search(main) if isinstance(main, bytes) else None
    if guid is None:
        return
    prefix = XMP_EXTENSION + guid[1]
    parts = {}
    length = 0
    for segment in _segments(photo, "APP1"):
        if segment.startswith(prefix):
            length, offset = struct.unpack_from(">II", segment, len(prefix))
            parts[offset] = segment[len(prefix) + 8 :]
    packet = b"".join(parts[offset] for offset in sorted(parts))
    yield Block(packet, is_extension=True)
    if len(packet) != length or not parts:
        raise UnreadableError("extended XMP is incomplete")


def _xmp_in_png(photo: OpenPhoto) -> Iterator[Block]:
    # Many programs put it after the pixels, where Pillow comes only by decoding them.
    for content in _png_texts(photo, b"iTXt", PNG_XMP):
        yield Block(international_text(content))


def _profiles_in_png(photo: OpenPhoto) -> Iterator[Block]:
    """Yield XMP and IPTC as ImageMagick and exiv2 write them, in hexadecimal."""
    for name in (b"xmp", b"iptc"):
        for kind in (b"tEXt", b"zTXt"):
            for content in _png_texts(photo, kind, b"Raw profile type " + name + b"\0"):
                text = content if kind == b"tEXt" else inflated(content[1:])
                data = bytes.fromhex(text.split(maxsplit=2)[2].decode("ascii"))
                if name == b"xmp":
                    yield Block(data)
                else:
                    yield Block(iptc=datasets(_iptc_resource(data) or data))


def _png_texts(photo: OpenPhoto, wanted: bytes, name: bytes) -> Iterator[bytes]:
    """Yield what follows a name in a PNG's chunks of one kind."""
    for kind, start, length in chunks(photo.file, photo.fingerprint.size):
        if kind != wanted or length < len(name):
            continue
        photo.file.seek(start)
        if photo.file.read(len(name)) == name:
            if length > 2 * MAX_XMP_BYTES:
                raise UnreadableError(f"a PNG text of {length:,} bytes")
            yield photo.file.read(length - len(name))


# --- IPTC ---

_PHOTOSHOP_TAG = 34377

_MAX_IPTC_BYTES = 1 << 24
"""Photoshop's resources, which have a thumbnail and paths beside the IPTC, take some 100 KB."""


def _iptc_in_jpeg(photo: OpenPhoto) -> Iterator[Block]:
    # One resource may go on in the next segment.
    signature = b"Photoshop 3.0\0"
    blocks = b"".join(
        segment[len(signature) :]
        for segment in _segments(photo, "APP13")
        if segment.startswith(signature)
    )
    if len(blocks) > _MAX_IPTC_BYTES:
        raise UnreadableError(f"IPTC of {len(blocks):,} bytes")
    yield Block(iptc=datasets(_iptc_resource(blocks)))


def _iptc_in_tiff(photo: OpenPhoto) -> Iterator[Block]:
    image = photo.image
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    # Some programs declare the bytes as 32-bit integers, which Pillow undoes here only.
    found = IptcImagePlugin.getiptcinfo(image) or {}
    yield Block(
        iptc=[
            (number, value or b"")
            for number, values in found.items()
            for value in (values if isinstance(values, list) else [values])
        ]
    )
    blocks = image.tag_v2.get(_PHOTOSHOP_TAG, b"")
    if isinstance(blocks, tuple):  # a tag of type UNDEFINED
        (blocks,) = blocks
    yield Block(iptc=datasets(_iptc_resource(blocks)))


def _segments(photo: OpenPhoto, name: str) -> Iterator[bytes]:
    segments: list[tuple[str, bytes]] = vars(photo.image)["applist"]
    return (content for kind, content in segments if kind == name)


def _iptc_resource(blocks: bytes) -> bytes:
    """Return the IPTC record among Photoshop image resource blocks; empty if there is none."""
    resources = photoshop_resources(blocks)
    return next((content for number, content in resources if number == IPTC_RESOURCE), b"")


def _raw_sources(opened: OpenFile) -> Iterator[Iterator[Block]]:
    found = structure(opened.file)
    yield iter([Block(found.xmp)])
    yield iter([Block(iptc=datasets(found.iptc))])
    yield (Block(iptc=datasets(_iptc_resource(each))) for each in [found.photoshop])
    if found.jpeg is not None:
        yield _in_jpeg(opened, *found.jpeg)


def _in_jpeg(opened: OpenFile, start: int, length: int) -> Iterator[Block]:
    opened.file.seek(start)
    content = io.BytesIO(opened.file.read(length))
    image = JpegImagePlugin.JpegImageFile(content)
    for source in _SOURCES["JPEG"]:
        yield from source(OpenPhoto(image, "JPEG", opened.fingerprint, content, 0))


_SOURCES: dict[str, tuple[Callable[[OpenPhoto], Iterator[Block]], ...]] = {
    "JPEG": (_xmp_in_info, _extended_xmp, _iptc_in_jpeg),
    "TIFF": (_xmp_in_info, _iptc_in_tiff),
    "PNG": (_xmp_in_png, _profiles_in_png),
}
