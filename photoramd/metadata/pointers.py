"""Find offsets in a JPEG's EXIF that lead out of it, to images elsewhere in the file.

Some cameras keep a preview behind the photo, and its place in the maker note. Maker notes are not
documented, so no directory is followed here: the images outside of EXIF are looked for, and then
an entry of any directory (TIFF 6.0, section 2) whose value is the place of one of them.
"""

from __future__ import annotations

import re
import struct
from itertools import islice

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

_MOST_IMAGES, _MOST_NOTES = 1000, 4
"""A file with more is made to keep us busy: it counts as one with such offsets."""


def lead_out(data: bytes, start: int, end: int) -> bool:
    """Return whether an entry in EXIF is the place of an image elsewhere in the file.

    Args:
        data: A JPEG.
        start: Where EXIF's TIFF header is.
        end: Where EXIF ends.
    """
    exif = data[start:end]
    bases = {0, start}
    for order, entry in _MAKER_NOTE.items():
        for found in islice(entry.finditer(exif), _MOST_NOTES):
            (offset,) = struct.unpack(f"{order}I", found[1])
            bases |= {start + offset + header for header in _HEADERS}
    # The first byte of an image is before what the pattern finds.
    images = [found.start() - 1 for found in islice(IMAGE.finditer(data, end), _MOST_IMAGES)]
    return len(images) == _MOST_IMAGES or any(
        _is_value(exif, place - base, order)
        for place in images
        for base in bases
        if place > base
        for order in _MAKER_NOTE  # a maker note may have another byte order than EXIF
    )


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
