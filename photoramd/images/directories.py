"""Read image file directories: TIFF, EXIF and most RAW formats consist of them.

Formats: TIFF 6.0 (section 2), BigTIFF, EXIF 3.0 (4.6.2: its types).
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import IO, Literal

_MAX_ENTRIES = 4096
_FARTHEST = 1 << 40
"""No offset beyond it is looked at; file systems refuse to seek to the largest numbers."""

_LETTERS = {
    1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I",
    16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
"""What a number is made of, by its type; rationals are of two."""

_TEXTS = frozenset((1, 2, 7, 129))
"""Types that texts have: bytes, ASCII, undefined, UTF-8."""

_SIZES = dict.fromkeys(_TEXTS, 1) | {
    kind: struct.calcsize(f"<{letters}") for kind, letters in _LETTERS.items()
}

Pair = tuple[float, float]
"""Numerator and denominator as they stand in the file; a number that is no rational has 1 below."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a TIFF begins with.

    Attributes:
        order: ``<`` or ``>``: the order of its bytes.
        first: Where its first directory is.
        is_big: Whether it is a BigTIFF, whose offsets have 64 bits.
    """

    order: str
    first: int
    is_big: bool = False

    @property
    def byteorder(self) -> Literal["little", "big"]:
        """The order of its bytes, in Python's words."""
        return "little" if self.order == "<" else "big"

    @classmethod
    def read(cls, file: IO[bytes]) -> Header | None:
        """Read the header; return None if there is none.

        Many RAW formats have another number than TIFF's 42 behind the order of bytes.
        """
        file.seek(0)
        head = file.read(16).ljust(16, b"\0")
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return None
        if struct.unpack_from(f"{order}HHH", head, 2) == (43, 8, 0):
            return cls(order, struct.unpack_from(f"{order}Q", head, 8)[0], True)
        return cls(order, struct.unpack_from(f"{order}I", head, 4)[0])


@dataclass(frozen=True, slots=True)
class _Layout:
    count_bytes: int
    entry_bytes: int
    inline_bytes: int


_CLASSIC, _BIG = _Layout(2, 12, 4), _Layout(8, 20, 8)


@dataclass(slots=True)
class Directory:
    """One directory: the values wanted, as bytes.

    Attributes:
        order: ``<`` or ``>``: the order of its bytes.
        values: By tag. A value that is too long, or ends beyond the file, is cut off.
        types: Their types, likewise.
        next: Where the next directory is; 0 for none.
        is_cut: Whether it is not all there.
    """

    order: str = "<"
    values: dict[int, bytes] = field(default_factory=dict)
    types: dict[int, int] = field(default_factory=dict)
    next: int = 0
    is_cut: bool = False

    @classmethod
    def read(
        cls, file: IO[bytes], header: Header, position: int, wanted: Collection[int], limit: int
    ) -> Directory:
        """Read a directory; of a damaged one, as much as can be read.

        Args:
            file: Offsets count from its beginning.
            header: What it begins with.
            position: Where the directory is.
            wanted: The tags whose values are read; of a tag that occurs twice, the first.
            limit: The most bytes of a value; a longer one is cut off.

        Raises:
            OSError: The disk failed.
        """
        directory = cls(header.order)
        layout = _BIG if header.is_big else _CLASSIC
        head = _read(file, position, layout.count_bytes)
        count = int.from_bytes(head, header.byteorder)
        if count > _MAX_ENTRIES or len(head) < layout.count_bytes:
            directory.is_cut = True
            return directory
        end = layout.entry_bytes * count
        content = file.read(end + layout.inline_bytes)
        directory.is_cut = len(content) < end
        for at in range(0, min(end, len(content)) - layout.entry_bytes + 1, layout.entry_bytes):
            tag, kind = struct.unpack_from(f"{header.order}HH", content, at)
            if tag not in wanted or kind not in _SIZES or tag in directory.types:
                continue
            middle = at + 4 + layout.inline_bytes
            number = int.from_bytes(content[at + 4 : middle], header.byteorder)
            inline = content[middle : middle + layout.inline_bytes]
            length = _SIZES[kind] * number
            directory.types[tag] = kind
            if length <= layout.inline_bytes:
                directory.values[tag] = inline[:length]
            else:
                start = int.from_bytes(inline, header.byteorder)
                directory.values[tag] = _read(file, start, min(length, limit))
        directory.next = int.from_bytes(content[end:], header.byteorder)
        return directory

    def numbers(self, tag: int, most: int = 1) -> list[int]:
        """Return the first unsigned integers of a tag; none if it has another type."""
        letter = _LETTERS.get(self.types.get(tag, 0), "")
        return list(self._unpacked(tag, letter, most)) if letter in ("B", "H", "I", "Q") else []

    def pairs(self, tag: int, most: int = 1) -> list[Pair]:
        """Return the first numbers of a tag, of any type; none if it is a text."""
        kind = self.types.get(tag, 0)
        letters = "" if kind in _TEXTS else _LETTERS.get(kind, "")
        if not letters:
            return []
        found = self._unpacked(tag, letters, most)
        if len(letters) == 1:
            return [(number, 1) for number in found]
        return list(zip(found[::2], found[1::2], strict=True))

    def text(self, tag: int) -> bytes:
        """Return the bytes of a text; none if it is a number."""
        return self.values[tag] if self.types.get(tag) in _TEXTS else b""

    def _unpacked(self, tag: int, letters: str, most: int) -> tuple[int, ...]:
        content = self.values.get(tag, b"")
        count = min(len(content) // struct.calcsize(f"<{letters}"), most)
        form = f"{count}{letters}" if len(letters) == 1 else f"{2 * count}{letters[0]}"
        return struct.unpack_from(f"{self.order}{form}", content)


def _read(file: IO[bytes], start: int, length: int) -> bytes:
    if start > _FARTHEST:
        return b""
    file.seek(start)
    return file.read(length)
