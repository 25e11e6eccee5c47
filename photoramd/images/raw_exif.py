"""Find the EXIF of a camera RAW without decoding it.

TIFF and what is TIFF in all but name (CR2, NEF, ARW, DNG, PEF, SRW, ORF, RW2 and others) have it in
their own directories, CR3 in boxes, RAF in the JPEG that it is built around, MRW in a block. CRW,
X3F and others have values of their own instead, which libraw reads.

Formats: see `raw_structure`; those of CR3's boxes and MRW's blocks are what ExifTool's
documentation of its tags gives.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import IO

from photoramd.images.directories import Directory, Header
from photoramd.images.exif import Exif, read, read_block, read_blocks
from photoramd.images.exif_blocks import exif_in_jpeg
from photoramd.images.isobmff import boxes
from photoramd.images.raw_structure import structure

_CR3_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_RW2_JPEG = 0x002E
_MAX_BLOCK_BYTES = 1 << 20
"""Of a JPEG, it is the beginning, where EXIF is."""

_MOST_PARTS = 64


def raw_exif(file: IO[bytes]) -> Exif:
    """Return the EXIF of a RAW; nothing if it has none, or is of another kind.

    Raises:
        OSError: The disk failed.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"FUJIFILMCCD-RAW "):
        return _raf(file)
    if head[4:8] == b"ftyp":
        return _cr3(file)
    if head.startswith(b"\0MRM"):
        return _mrw(file)
    if head.startswith(b"IIU\0"):
        return _rw2(file) or read(file)
    return read(file)


def _raf(file: IO[bytes]) -> Exif:
    start, length = structure(file).jpeg or (0, 0)
    file.seek(start)
    return exif_in_jpeg(file.read(min(length, _MAX_BLOCK_BYTES)))


def _cr3(file: IO[bytes]) -> Exif:
    for kind, start, length in islice(boxes(file), _MOST_PARTS):
        if kind == b"moov" and length >= 8:
            file.seek(start + 8)
            for inner, content in _inner_boxes(file.read(min(length - 8, _MAX_BLOCK_BYTES))):
                if inner == b"uuid" and content.startswith(_CR3_METADATA):
                    found = dict(_inner_boxes(content[len(_CR3_METADATA) :]))
                    return read_blocks(*(found.get(name, b"") for name in _CR3_DIRECTORIES))
    return Exif()


_CR3_DIRECTORIES = (b"CMT1", b"CMT2", b"CMT4")


def _inner_boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and content of boxes within another one."""
    found: list[tuple[bytes, bytes]] = []
    position = 0
    while position + 8 <= len(content) and len(found) < _MOST_PARTS:
        length, kind = struct.unpack_from(">I4s", content, position)
        found.append((kind, content[position + 8 : position + length]))
        position += max(length, 8)
    return found


def _rw2(file: IO[bytes]) -> Exif:
    header = Header.read(file)
    if header is None:
        return Exif()
    # Its own directories lack values that those of the JPEG inside have.
    top = Directory.read(file, header, header.first, {_RW2_JPEG}, _MAX_BLOCK_BYTES)
    return exif_in_jpeg(top.text(_RW2_JPEG))


def _mrw(file: IO[bytes]) -> Exif:
    position = 8
    for _ in range(_MOST_PARTS):
        file.seek(position)
        kind, length = struct.unpack(">4sI", file.read(8).ljust(8, b"\0"))
        if kind == b"\0TTW":
            return read_block(file.read(min(length, _MAX_BLOCK_BYTES)))
        position += 8 + length
    return Exif()
