"""Read the structure of a camera RAW without decoding it: where its data and metadata are.

Most RAW formats are TIFF in all but name (CR2, NEF, ARW, DNG, PEF, SRW and others; ORF and RW2
with another number at the start); CR3 is an ISO media file, RAF has a header of its own.

Formats: TIFF 6.0, TIFF/EP (ISO 12234-2), DNG 1.7, ISO/IEC 14496-12; the offsets in RAF and the
UUID of CR3's XMP are those that ExifTool's documentation of its tags gives.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import islice
from typing import IO

from photoramd.images.directories import Directory, Header
from photoramd.images.isobmff import boxes

_MAX_DIRECTORIES = 64
_MAX_VALUE_BYTES = 4 << 20
_MAX_EXTENTS = 1 << 16
"""A limit; a photo has some thousands of strips or tiles."""

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
    header = Header.read(file)
    return Structure() if header is None else _tiff(file, header)


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


def _tiff(file: IO[bytes], header: Header) -> Structure:
    extents: list[Extent] = []
    top: Directory | None = None
    # Depth first, so that the directory that the file begins with comes first.
    waiting, seen = [header.first], set[int]()
    is_told = True
    while waiting and len(seen) < _MAX_DIRECTORIES:
        position = waiting.pop()
        if position == 0 or position in seen:
            continue
        seen.add(position)
        directory = Directory.read(file, header, position, _WANTED, _MAX_VALUE_BYTES)
        if directory.is_cut:  # what it does not tell could be anything
            directory = Directory()
        top = top or directory
        for offsets, lengths in _DATA:
            starts = directory.numbers(offsets, _MAX_EXTENTS + 1)
            pairs = zip(starts, directory.numbers(lengths, _MAX_EXTENTS + 1), strict=False)
            # Some formats use the largest number for "not stated".
            extents += [pair for pair in pairs if 0 < pair[0] < 0xFFFFFFFF and pair[1] > 0]
            if max(len(starts), len(extents)) > _MAX_EXTENTS:
                is_told = False  # not a photo: made to exhaust memory
                extents.clear()
        below = directory.numbers(_SUB_DIRECTORIES, _MAX_DIRECTORIES)
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
