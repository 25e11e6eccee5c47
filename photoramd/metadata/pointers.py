"""Find offsets in a JPEG's EXIF that lead out of it, to images elsewhere in the file.

Some cameras keep a preview behind the photo, and its place in the maker note. Maker notes are not
documented, so no directory is followed here: the images outside of EXIF are looked for, and then
an entry of any directory (TIFF 6.0, section 2) whose value is the place of one of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

IMAGE = re.compile(rb"\xd8\xff[\xc0-\xc4\xdb\xe0-\xef]")
"""The beginning of a JPEG, without its first byte, which some cameras change in previews.

It cannot occur within coded pixels (ITU-T T.81, B.1.1.5).
"""

_MAKER_NOTE = {
    "<": re.compile(rb"\x7c\x92\x07\0.{4}(.{4})", re.DOTALL),
    ">": re.compile(rb"\x92\x7c\0\x07.{4}(.{4})", re.DOTALL),
}
_HEADERS = range(0, 34, 2)
"""How far behind the start of a maker note its offsets may be counted from."""


def lead_out(data: bytes, start: int, end: int) -> bool:
    """Return whether an entry in EXIF is the place of an image elsewhere in the file.

    Args:
        data: A JPEG.
        start: Where EXIF's TIFF header is.
        end: Where EXIF ends.
    """
    exif = data[start:end]
    order = ">" if exif.startswith(b"MM") else "<"
    bases = {0, start}
    for found in _MAKER_NOTE[order].finditer(exif):
        (offset,) = struct.unpack(f"{order}I", found[1])
        bases |= {start + offset + header for header in _HEADERS}
    return any(
        _is_value(exif, place - base, order)
        for place in _images(data, end)
        for base in bases
        if place > base
    )


def _images(data: bytes, start: int) -> Iterator[int]:
    """Yield the places of images from an offset on."""
    return (found.start() - 1 for found in IMAGE.finditer(data, start))


def _is_value(exif: bytes, number: int, order: str) -> bool:
    """Return whether a number is the value, or the offset of the value, of an entry."""
    packed = struct.pack(f"{order}I", number)
    position = exif.find(packed, 8)
    while position >= 0:
        kind, count = struct.unpack_from(f"{order}HI", exif, position - 6)
        if 1 <= kind <= 13 and count:
            return True
        position = exif.find(packed, position + 1)
    return False
