"""Find offsets in a JPEG's EXIF that lead out of it, to images elsewhere in the file.

Some cameras keep a preview behind the photo, and its place in the maker note. Maker notes are not
documented, so no directory is followed here: the images outside of EXIF are looked for, and then
an entry of any directory (TIFF 6.0, section 2) whose value is the place of one of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
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

MOST_IMAGES, _MOST_NOTES = 1000, 4
"""A file with more is made to keep us busy."""

_LONG = 4


def images(data: bytes, start: int, end: int) -> list[int]:
    """Return where images begin in a part of a file, as far as there are not too many."""
    # The first byte of an image is before what the pattern finds.
    found = islice(IMAGE.finditer(data, start, end), MOST_IMAGES)
    return [each.start() - 1 for each in found]


def lead_out(exif: bytes, start: int, places: Sequence[int]) -> bool:
    """Return whether an entry in EXIF is the place of an image elsewhere in the file.

    Args:
        exif: EXIF from its TIFF header on.
        start: Where that is in the file.
        places: Where the images outside of EXIF begin.
    """
    own = ">" if exif.startswith(b"MM") else "<"
    bases = {0, start}
    for order, entry in _MAKER_NOTE.items():
        for found in islice(entry.finditer(exif), _MOST_NOTES):
            (offset,) = struct.unpack(f"{order}I", found[1])
            bases |= {start + offset + header for header in _HEADERS}
    return any(
        _is_value(exif, place - base, order, is_sure=order == own)
        for place in places
        for base in bases
        if place > base
        for order in _MAKER_NOTE  # a maker note may have another byte order than EXIF
    )


def _is_value(exif: bytes, number: int, order: str, *, is_sure: bool) -> bool:
    """Return whether a number is the value, or the offset of the value, of an entry.

    In a byte order that is not sure, only one number of 32 bits counts: text looks like others.
    """
    packed = struct.pack(f"{order}I", number)
    position = exif.find(packed, 8)
    while position >= 0:
        kind, count = struct.unpack_from(f"{order}HI", exif, position - 6)
        if (1 <= kind <= 13 and count) if is_sure else (kind, count) == (_LONG, 1):
            return True
        position = exif.find(packed, position + 1)
    return False
