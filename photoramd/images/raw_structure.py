"""Read the structure of a camera RAW without decoding it: where its data and metadata are.

Most RAW formats are TIFF in all but name (CR2, NEF, ARW, DNG, PEF, SRW and others; ORF and RW2
with another number at the start); CR3 is an ISO media file, RAF has a header of its own.

Formats: TIFF 6.0, TIFF/EP (ISO 12234-2), DNG 1.7, ISO/IEC 14496-12; the offsets in RAF and the
UUID of CR3's XMP are those that ExifTool's documentation of its tags gives.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from itertools import islice
from typing import IO

from photoramd.images.isobmff import boxes

_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
_MAX_VALUE_BYTES = 4 << 20
_MAX_EXTENTS = 1 << 16
"""A limit; a photo has some thousands of strips or tiles."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4}
"""The bytes of a value, by its type; other types are not needed here."""

_XMP, _IPTC, _PHOTOSHOP, _SUB_DIRECTORIES = 700, 33723, 34377, 330
_DATA = ((273, 279), (324, 325), (513, 514))
"""Offsets and lengths of strips, of tiles, and of a JPEG."""

_RAF = b"FUJIFILMCCD-RAW "
_RAF_EXTENTS = (84, 92, 100)
"""Where offset and length are: of the JPEG, of the metadata, of the sensor's data."""

_CR3_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

Extent = tuple[int, int]
"""Offset and length in bytes."""


@dataclass(frozen=True, slots=True)
class Structure:
    """The extents of a RAW's parts.

    Attributes:
        extents: All data that the file refers to; empty if its format is not known.
        xmp: Its XMP packet, if there is one.
        iptc: Its IPTC record, if there is one.
        photoshop: Photoshop's image resources, if there are some.
        jpeg: A JPEG file inside that has the photo's metadata: RAF is built around one.
    """

    extents: tuple[Extent, ...] = ()
    xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""
    jpeg: Extent | None = None

    def fits(self, size: int) -> bool:
        """Return whether its format is known and all of it is in a file of this size."""
        return bool(self.extents) and all(start + length <= size for start, length in self.extents)


def structure(file: IO[bytes]) -> Structure:
    """Read the structure of a RAW; of a damaged one, as much as can be read."""
    file.seek(0)
    head = file.read(16)
    if head.startswith(_RAF):
        return _raf(file)
    if head[4:8] == b"ftyp":
        return _cr3(file)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    return Structure() if order is None else _tiff(file, order)


def _raf(file: IO[bytes]) -> Structure:
    extents = []
    for position in _RAF_EXTENTS:
        file.seek(position)
        content = file.read(8)
        if len(content) == 8:
            extents.append(struct.unpack(">II", content))
    extents = [(start, length) for start, length in extents if length]
    return Structure(tuple(extents), jpeg=extents[0] if extents else None)


def _cr3(file: IO[bytes]) -> Structure:
    extents = []
    xmp = b""
    for kind, start, length in islice(boxes(file), _MAX_DIRECTORIES):
        extents.append((start, length))
        if kind == b"uuid" and 8 <= length <= _MAX_VALUE_BYTES:
            file.seek(start + 8)
            content = file.read(length - 8)
            if content.startswith(_CR3_XMP):
                xmp = content[16:]
    return Structure(tuple(extents), xmp)


def _tiff(file: IO[bytes], order: str) -> Structure:
    file.seek(0)
    (first,) = struct.unpack(f"{order}4xI", file.read(8).ljust(8, b"\0"))
    extents: list[Extent] = []
    top: _Directory | None = None
    # Depth first, so that the directory that the file begins with comes first.
    waiting, seen = [first], set[int]()
    is_told = True
    while waiting and len(seen) < _MAX_DIRECTORIES:
        position = waiting.pop()
        if position == 0 or position in seen:
            continue
        seen.add(position)
        directory = _Directory.read(file, order, position)
        top = top or directory
        for offsets, lengths in _DATA:
            starts = directory.numbers(offsets)
            pairs = zip(starts, directory.numbers(lengths), strict=False)
            # Some formats use the largest number for "not stated".
            extents += [pair for pair in pairs if 0 < pair[0] < 0xFFFFFFFF and pair[1] > 0]
            if max(len(starts), len(extents)) > _MAX_EXTENTS:
                is_told = False  # not a photo: made to exhaust memory
                extents.clear()
        below = directory.numbers(_SUB_DIRECTORIES)[:_MAX_DIRECTORIES]
        waiting += [directory.next, *reversed(below)]
    if top is None:
        return Structure()
    values = top.values
    return Structure(
        tuple(extents) if is_told else (),
        values.get(_XMP, b""),
        values.get(_IPTC, b""),
        values.get(_PHOTOSHOP, b""),
    )


_WANTED = frozenset(
    {_XMP, _IPTC, _PHOTOSHOP, _SUB_DIRECTORIES, *(t for pair in _DATA for t in pair)}
)


@dataclass(slots=True)
class _Directory:
    """One image file directory (TIFF 6.0, section 2): the values wanted, as bytes."""

    order: str
    values: dict[int, bytes] = field(default_factory=dict)
    types: dict[int, int] = field(default_factory=dict)
    next: int = 0

    @classmethod
    def read(cls, file: IO[bytes], order: str, position: int) -> _Directory:
        directory = cls(order)
        file.seek(position)
        (count,) = struct.unpack(f"{order}H", file.read(2).ljust(2, b"\0"))
        if count > _MAX_ENTRIES:
            return directory
        content = file.read(12 * count + 4)
        if len(content) < 12 * count:
            return directory
        for at in range(0, 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", content, at)
            if tag in _WANTED and kind in _SIZES and tag not in directory.types:
                directory.types[tag] = kind
                directory.values[tag] = _value(
                    file, order, content[at + 8 : at + 12], _SIZES[kind] * number
                )
        directory.next = int.from_bytes(content[12 * count :], "little" if order == "<" else "big")
        return directory

    def numbers(self, tag: int) -> list[int]:
        content = self.values.get(tag, b"")
        letter = {1: "B", 3: "H", 4: "I", 13: "I"}.get(self.types.get(tag, 0))
        if letter is None:
            return []
        count = min(len(content) // struct.calcsize(letter), _MAX_EXTENTS + 1)
        return list(struct.unpack_from(f"{self.order}{count}{letter}", content))


def _value(file: IO[bytes], order: str, field_: bytes, length: int) -> bytes:
    if length <= 4:
        return field_[:length]
    if length > _MAX_VALUE_BYTES:
        return b""
    file.seek(struct.unpack(f"{order}I", field_)[0], os.SEEK_SET)
    return file.read(length)
