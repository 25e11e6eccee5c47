"""Blocks of EXIF with any values, the impossible ones too."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SSHORT, SRATIONAL, FLOAT, DOUBLE = (
    1, 2, 3, 4, 5, 7, 8, 10, 11, 12,
)  # fmt: skip
LETTERS = {
    BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I", SSHORT: "h", SRATIONAL: "i", FLOAT: "f",
    DOUBLE: "d",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A value: its tag, its type, and its bytes or numbers; a rational is two numbers."""

    tag: int
    kind: int
    value: bytes | Sequence[float]
    count: int | None = None

    def packed(self, order: str) -> tuple[bytes, int]:
        """The bytes of the value, and its count."""
        if isinstance(self.value, bytes):
            return self.value, len(self.value) if self.count is None else self.count
        data = struct.pack(f"{order}{len(self.value)}{LETTERS[self.kind]}", *self.value)
        count = len(self.value) // (2 if self.kind in (RATIONAL, SRATIONAL) else 1)
        return data, count if self.count is None else self.count


def text(tag: int, value: str | bytes) -> Entry:
    """A text with the zero at its end."""
    return Entry(tag, ASCII, (value.encode() if isinstance(value, str) else value) + b"\0")


def ratio(tag: int, *numbers: int) -> Entry:
    """Rationals: numerators and denominators in turn."""
    return Entry(tag, RATIONAL, numbers)


def exif(
    image: Sequence[Entry] = (),
    photo: Sequence[Entry] = (),
    gps: Sequence[Entry] = (),
    *,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A block, without what containers put in front of it; as a BigTIFF, if it is to be big."""
    block = bytearray({"<": b"II", ">": b"MM"}[order])
    block += struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else struct.pack(f"{order}HI", 42, 0)
    pointers = [
        Entry(tag, LONG, [_directory(block, entries, order, big=big)])
        for tag, entries in ((0x8769, photo), (0x8825, gps))
        if entries
    ]
    first = _directory(block, [*image, *pointers], order, big=big)
    struct.pack_into(f"{order}{'Q' if big else 'I'}", block, 8 if big else 4, first)
    return bytes(block)


def _directory(block: bytearray, entries: Sequence[Entry], order: str, *, big: bool) -> int:
    offset, inline = ("Q", 8) if big else ("I", 4)
    body = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for entry in entries:
        data, count = entry.packed(order)
        if len(data) > inline:
            at = _append(block, data)
            data = struct.pack(f"{order}{offset}", at)
        body += struct.pack(f"{order}HH{offset}", entry.tag, entry.kind, count)
        body += data.ljust(inline, b"\0")
    return _append(block, body + bytes(inline))


def _append(block: bytearray, data: bytes) -> int:
    block += bytes(len(block) % 2)
    place = len(block)
    block += data
    return place
