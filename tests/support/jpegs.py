"""JPEGs with the metadata that real cameras write, made by hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
_MAKER_NOTE = 0x927C


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an image file directory (TIFF 6.0); its value in little-endian bytes."""

    tag: int
    type: int
    value: bytes

    @property
    def count(self) -> int:
        return len(self.value) // {ASCII: 1, SHORT: 2, LONG: 4, UNDEFINED: 1}[self.type]


def picture(side: int = 32, colour: str = "teal") -> bytes:
    """A JPEG without metadata."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "JPEG")
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments right after its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_xmp(jpeg: bytes, packet: bytes) -> bytes:
    return with_segments(jpeg, segment(0xE1, XMP_HEADER + packet))


def directory(entries: Sequence[Entry], start: int) -> bytes:
    """A directory with its values, whose offsets are counted from ``start`` bytes before it."""
    head = struct.pack("<H", len(entries))
    place = start + len(head) + 12 * len(entries) + 4
    values = b""
    for entry in entries:
        head += struct.pack("<HHI", entry.tag, entry.type, entry.count)
        if len(entry.value) <= 4:
            head += entry.value.ljust(4, b"\0")
        else:
            head += struct.pack("<I", place + len(values))
            values += entry.value + bytes(len(entry.value) % 2)
    return head + bytes(4) + values


def exif(make: str, model: str, maker_note: Sequence[Entry], unused: bytes = b"") -> bytes:
    """An EXIF segment with a maker note: a directory with offsets from EXIF's start.

    Args:
        make: The camera's maker.
        model: The camera.
        maker_note: The entries of the maker note.
        unused: Bytes at the end of the maker note that nothing refers to; real ones have some.
    """
    names = [
        Entry(0x10F, ASCII, make.encode() + b"\0"),
        Entry(0x110, ASCII, model.encode() + b"\0"),
    ]
    pointer = Entry(0x8769, LONG, bytes(4))
    inner_at = 8 + len(directory([*names, pointer], 8))
    outer = directory([*names, Entry(0x8769, LONG, struct.pack("<I", inner_at))], 8)
    note_at = inner_at + 2 + 12 + 4
    note = directory(maker_note, note_at) + unused
    inner = directory([Entry(_MAKER_NOTE, UNDEFINED, note)], inner_at)
    return segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<I", 8) + outer + inner)


def canon() -> bytes:
    """A photo as Canon's: its maker note has unused bytes, which ExifTool drops on rewriting."""
    note = [
        Entry(0x06, ASCII, b"Canon PowerShot A70\0"),
        Entry(0x07, ASCII, b"Firmware Version 1.00\0"),
        Entry(0x09, ASCII, b"Oma\0".ljust(32, b"\0")),
    ]
    return with_segments(picture(), exif("Canon", "Canon PowerShot A70", note, bytes(64)))


def minolta() -> bytes:
    """A photo as an early Minolta's: the preview lies behind the photo, found by its offset."""
    preview = picture(16, "olive")

    def photo(offset: int) -> bytes:
        note = [
            Entry(0x00, UNDEFINED, b"MLT0"),
            Entry(0x88, LONG, struct.pack("<I", offset)),
            Entry(0x89, LONG, struct.pack("<I", len(preview))),
        ]
        return with_segments(picture(), exif("Minolta Co., Ltd.", "DiMAGE S304", note))

    offset = len(photo(0)) - len(b"\xff\xd8\xff\xe1\0\0Exif\0\0")
    return photo(offset) + preview


def multi_picture() -> bytes:
    """A photo with a second one behind it and an index of both (CIPA DC-007)."""
    file = io.BytesIO()
    images = [Image.new("RGB", (32, 32), "teal"), Image.new("RGB", (16, 16), "olive")]
    images[0].save(file, "MPO", save_all=True, append_images=images[1:])
    return file.getvalue()
