"""Read the boxes of ISO base media files: HEIF, AVIF, CR3."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from itertools import count, islice
from typing import IO

_MOST_BOXES = 10_000
"""At the top of a file; photos have some ten."""

_MOST_META_BYTES = 64 << 20
_MOST_LOCATIONS = 4
"""Boxes ``iloc``; a photo has one."""

_MOST_EXTENTS = 10_000


def boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset and length of the top-level boxes (ISO/IEC 14496-12, 4.2).

    Raises:
        ValueError: They are too many.
    """
    size = file.seek(0, os.SEEK_END)
    position = 0
    for number in count():
        if position + 8 > size:
            return
        if number >= _MOST_BOXES:
            raise ValueError(f"more than {_MOST_BOXES:,} boxes")
        file.seek(position)
        length, kind, long_length = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        if kind == bytes(4):  # padding
            return
        if length == 1:
            length = long_length
        elif length == 0:  # to the end of the file
            length = size - position
        yield kind, position, length
        position += max(length, 8)


def coded_sizes(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the sizes in the ``ispe`` properties (ISO/IEC 23008-12, 6.5.3) of a ``meta`` box.

    libheif decodes nothing larger than they say.
    """
    for meta in _metas(file):
        for found in re.finditer(rb"ispe\0\0\0\0(?=.{8})", meta, re.DOTALL):
            yield struct.unpack_from(">II", meta, found.end())


def items(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the items' extents in the file, by the ``iloc`` boxes.

    Raises:
        ValueError: They are too many.
    """
    size = file.seek(0, os.SEEK_END)
    found = 0
    for meta in _metas(file):
        for start in islice(re.finditer(rb"iloc", meta), _MOST_LOCATIONS):
            for offset, length in _extents(meta[start.end() :]):
                found += 1
                if found > _MOST_EXTENTS:
                    raise ValueError(f"more than {_MOST_EXTENTS:,} extents")
                if offset < size:
                    yield offset, length


def _metas(file: IO[bytes]) -> Iterator[bytes]:
    for kind, start, length in boxes(file):
        if kind == b"meta":
            file.seek(start)
            yield file.read(min(length, _MOST_META_BYTES))


def _extents(box: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each extent of an ``iloc`` (ISO/IEC 14496-12, 8.11.3)."""
    try:
        version, sizes = box[0], struct.unpack_from(">H", box, 4)[0]
        offset_size, length_size, base_size, index_size = (sizes >> s & 15 for s in (12, 8, 4, 0))
        wide = 4 if version == 2 else 2
        position, items_ = 6 + wide, int.from_bytes(box[6 : 6 + wide], "big")

        def number(size: int) -> int:
            nonlocal position
            if position + size > len(box):
                raise IndexError
            position += size
            return int.from_bytes(box[position - size : position], "big")

        for _ in range(items_):
            number(wide + (2 if version else 0) + 2)
            base, extents = number(base_size), number(2)
            for _ in range(extents):
                number(index_size if version else 0)
                yield base + number(offset_size), number(length_size)
    except (IndexError, struct.error):
        return  # damaged: its reader says so
