"""Read the boxes of ISO base media files: HEIF, AVIF, CR3."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import IO


def boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset and length of the top-level boxes (ISO/IEC 14496-12, 4.2)."""
    size = file.seek(0, os.SEEK_END)
    position = 0
    while position + 8 <= size:
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
    for kind, start, length in boxes(file):
        if kind == b"meta":
            file.seek(start)
            meta = file.read(length)
            for found in re.finditer(rb"ispe\0\0\0\0(?=.{8})", meta, re.DOTALL):
                yield struct.unpack_from(">II", meta, found.end())
